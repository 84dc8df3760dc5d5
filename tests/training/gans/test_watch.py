import torch

from training.gans.watch import Watch, Watcher, duplicate_rate


def test_a_vanished_gradient_is_reported_once() -> None:
    watcher = Watcher(Watch(vanished_norm=0.1, checks=3))
    said = [watcher.gradients({"generator": norm, "discriminator": 1.0}) for norm in (0.0, 0.0, 1.0, 0, 0, 0, 0, 0)]
    assert [bool(warnings) for warnings in said] == [False] * 5 + [True, False, False]
    assert "the generator's gradient has vanished: its norm was below 0.1 at 3 checks in a row" in said[5][0]


def test_a_collapse_is_reported_again_only_after_a_recovery() -> None:
    watcher = Watcher(Watch(duplicates=0.5, from_step=100))
    assert watcher.samples(1.0, 99) == []
    said = [watcher.samples(rate, 100) for rate in (0.5, 0.51, 1.0, 0.2, 0.9)]
    assert [bool(warnings) for warnings in said] == [False, True, False, False, True]
    assert watcher.collapses == [100, 100]
    assert said[1] == ["the generator has collapsed: 51% of its samples are duplicates of others"]


def test_its_state_is_kept_after_a_resumption() -> None:
    first, second = Watcher(Watch(checks=2)), Watcher(Watch(checks=2))
    assert first.gradients({"generator": 0.0}) == []
    second.load_state(first.state())
    assert len(second.gradients({"generator": 0.0})) == 1
    del (before := first.state())["collapses"]
    second.load_state(before)
    assert second.collapses == []


def test_duplicates_are_images_near_another_one_of_their_class() -> None:
    images = torch.zeros(5, 3, 4, 4)
    images[1] += 0.01
    images[2] += 0.5
    images[3] += 0.51
    images[4] += 0.51
    labels = torch.tensor([0, 0, 0, 1, 2])
    assert duplicate_rate(images, labels, 0.02) == 2 / 5
    assert duplicate_rate(images, labels, 0.009) == 0
    assert duplicate_rate(images, torch.zeros(5), 0.02) == 1
