#!/usr/bin/env bash
# Builds the images on a Debian made here, without a container engine, and starts their services: test_images.sh [IMAGE…]
# Says what is missing, and ends well, where that cannot be done. Leaves nothing behind.
set -euo pipefail
skip() {
  echo "skipped: $*"
  exit 0
}
for program in buildah debootstrap; do
  if ! command -v "$program" >/dev/null; then skip "$program is not installed"; fi
done
if [ "$(id -u)" -ne 0 ]; then skip "debootstrap has to be root"; fi
images=("$@")
if [ "$#" -eq 0 ]; then images=(mlflow spark trainer); fi
free_gib=$(($(df --output=avail "${TMPDIR:-/var/tmp}" | tail -n 1) >> 20))
needed_gib=30 # PyTorch with CUDA's libraries, in both stages and in the image
if [ "${images[*]}" = mlflow ]; then needed_gib=5; fi
if [ "$free_gib" -lt "$needed_gib" ]; then
  skip "${TMPDIR:-/var/tmp} has $free_gib GiB free, $needed_gib are needed for ${images[*]}; name another folder by TMPDIR"
fi
cd "$(dirname "$0")/.."
folder=$(mktemp -d "${TMPDIR:-/var/tmp}/roadsign-images.XXXXXX")
export BUILDAH_ISOLATION=chroot
store() { buildah --root "$folder/store" --runroot "$folder/run" "$@"; }
clean() {
  store rm --all >/dev/null 2>&1 || true
  rm -rf -- "$folder"
}
trap clean EXIT

make_base() {
  debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv bookworm "$folder/debian" >"$folder/log" 2>&1 \
    || { tail "$folder/log" && return 1; }
  if [ -d /usr/local/share/ca-certificates ]; then # of a network that looks into what is fetched
    cp -r /usr/local/share/ca-certificates "$folder/debian/usr/local/share/"
    env -u TMPDIR chroot "$folder/debian" update-ca-certificates >"$folder/log" 2>&1
  fi
  local base certificates=/etc/ssl/certs/ca-certificates.crt
  base=$(store from scratch)
  store add --quiet "$base" "$folder/debian" / >"$folder/log"
  store config --env "PIP_CERT=$certificates" --env "SSL_CERT_FILE=$certificates" "$base"
  store commit --quiet --rm "$base" roadsign-base >"$folder/log"
  rm -rf -- "$folder/debian"
}

# inside COMMAND…: in the container, whose name no name server knows, so that Spark has to be told its address.
inside() { store run "$container" -- env SPARK_LOCAL_IP=127.0.0.1 "$@"; }

# serves SERVICE URL VARIABLE=value…: whether the service of the container that runs becomes healthy, and ends when told.
serves() {
  # shellcheck disable=SC2016 # the variables are those of the shell inside
  inside "${@:3}" bash -euc '
    cd /tmp
    /opt/roadsign/services/start.sh "$1" >"/tmp/$1.log" 2>&1 &
    for _ in {1..300}; do
      if /opt/roadsign/services/healthy.sh "$2" 2>/dev/null; then
        kill "$!"
        wait "$!" || true
        echo "$1: healthy"
        exit 0
      fi
      if ! kill -0 "$!" 2>/dev/null; then break; fi
      sleep 1
    done
    cat "/tmp/$1.log"
    exit 1' serves "$1" "$2"
}

try_mlflow() {
  serves mlflow http://127.0.0.1:5987/health MLFLOW_PORT=5987 ROADSIGN_STORE=sqlite:////tmp/runs.db \
    ROADSIGN_ARTIFACTS=/tmp/artifacts MLFLOW_TRACKING_PASSWORD="a long password" ROADSIGN_MLFLOW_KEY=key
}

try_spark() {
  serves spark-master http://127.0.0.1:5988/ ROADSIGN_SPARK_SECRET=secret SPARK_MASTER_HOST=127.0.0.1 \
    SPARK_MASTER_PORT=5989 SPARK_MASTER_WEBUI_PORT=5988
  serves spark-worker http://127.0.0.1:5988/ ROADSIGN_SPARK_SECRET=secret SPARK_WORKER_HOST=127.0.0.1 \
    SPARK_MASTER_URL=spark://127.0.0.1:5989 SPARK_WORKER_WEBUI_PORT=5988 SPARK_WORKER_MEMORY=1g
}

try_trainer() {
  local service
  for service in "trainer retrain" scheduler; do
    # shellcheck disable=SC2086 # two words
    inside ROADSIGN_SPARK_SECRET=secret /opt/roadsign/services/start.sh $service --dry-run dataset.kind=synthetic_signs
  done
  inside ROADSIGN_SPARK_SECRET=secret /opt/roadsign/services/start.sh \
    trainer make_noisy_datasets dataset.kind=synthetic_signs "sizes_px=[28]" "variants=[clean]"
}

make_base
for image in "${images[@]}"; do
  store build --format docker --build-arg BASE_IMAGE=localhost/roadsign-base \
    --file "docker/$image.Dockerfile" --tag "roadsign-$image" . >"$folder/log" 2>&1 || { tail -n 40 "$folder/log" && exit 1; }
  container=$(store from "localhost/roadsign-$image")
  "try_$image"
  store rm "$container" >"$folder/log"
  store rmi "localhost/roadsign-$image" >"$folder/log"
  echo "roadsign-$image: built, and its services start"
done
