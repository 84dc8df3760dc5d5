# shellcheck shell=bash
# Sourced by all that speaks Spark: its settings, with the secret without which nobody may submit anything, in a file of
# our own, for what stands on a command line can be read by everyone on the machine.

SPARK_HOME=$(python3 -c 'import importlib.util as util; print(util.find_spec("pyspark").submodule_search_locations[0])')
SPARK_CONF_DIR=${ROADSIGN_RUN:-/run/roadsign}/spark
export SPARK_HOME SPARK_CONF_DIR

write_spark_conf() {
  local key
  key=$(secret ROADSIGN_SPARK_SECRET)
  mkdir -p "$SPARK_CONF_DIR"
  (
    umask 077
    {
      echo "spark.authenticate true"
      echo "spark.authenticate.secret $key"
      echo "spark.network.crypto.enabled true"
      if [ -n "${SPARK_MASTER_URL:-}" ]; then echo "spark.master $SPARK_MASTER_URL"; fi
      if [ -n "${SPARK_DRIVER_HOST:-}" ]; then echo "spark.driver.host $SPARK_DRIVER_HOST"; fi
      if [ -n "${ROADSIGN_SPARK_CONF:-}" ]; then cat -- "$ROADSIGN_SPARK_CONF"; fi
    } >"$SPARK_CONF_DIR/.spark-defaults.$$"
  )
  mv -- "$SPARK_CONF_DIR/.spark-defaults.$$" "$SPARK_CONF_DIR/spark-defaults.conf"
}
