//! The names of all metrics, in one place: seconds and bytes are base units, `_total` only counts up.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Gauge, label `part` (`engine`, `registry`, `target`): 1 while it answers.
pub(crate) const PART_UP: &str = "slipway_part_up";
/// Counter, label `outcome`: a build's last status.
pub(crate) const BUILDS_TOTAL: &str = "slipway_builds_total";
/// Histogram, label `stage`.
pub(crate) const STAGE_SECONDS: &str = "slipway_stage_seconds";
/// Gauge.
pub(crate) const BUILDS_RUNNING: &str = "slipway_builds_running";
/// Gauge: 0 while nothing waits.
pub(crate) const OLDEST_PENDING_SECONDS: &str = "slipway_oldest_pending_build_seconds";
/// Counter: jobs whose worker stopped heart-beating.
pub(crate) const LEASES_LOST_TOTAL: &str = "slipway_leases_lost_total";
/// Counter, label `status`.
pub(crate) const RELEASES_TOTAL: &str = "slipway_releases_total";
/// Histogram: from the recorded release to its last healthy process.
pub(crate) const ROLLOUT_SECONDS: &str = "slipway_rollout_seconds";
/// Counter, label `door`: connections closed because their address had too many.
pub(crate) const CONNECTIONS_REFUSED_TOTAL: &str = "slipway_connections_refused_total";
/// Gauge, label `path`.
pub(crate) const DISK_FREE_BYTES: &str = "slipway_disk_free_bytes";
/// Counter: bytes that clearing old images, layers and packs gave back.
pub(crate) const RECLAIMED_BYTES_TOTAL: &str = "slipway_reclaimed_bytes_total";
/// Counter, label `service` (`postgres`, `registry`): private services that died and were started again.
pub(crate) const SERVICE_RESTARTS_TOTAL: &str = "slipway_service_restarts_total";

/// Tells the recorder what each is.
pub(super) fn describe() {
    describe_gauge!(PART_UP, "Whether a part of the platform answers");
    describe_counter!(BUILDS_TOTAL, "Builds that ended, by outcome");
    describe_histogram!(STAGE_SECONDS, Unit::Seconds, "Seconds that a stage of a build took");
    describe_gauge!(BUILDS_RUNNING, "Builds that run now");
    describe_gauge!(OLDEST_PENDING_SECONDS, Unit::Seconds, "Age of the build that waits longest");
    describe_counter!(LEASES_LOST_TOTAL, "Jobs taken over from a worker that was lost");
    describe_counter!(RELEASES_TOTAL, "Releases that ended, by status");
    describe_histogram!(
        ROLLOUT_SECONDS,
        Unit::Seconds,
        "Seconds from a recorded release to healthy processes"
    );
    describe_counter!(CONNECTIONS_REFUSED_TOTAL, "Connections over the limit of their address, by door");
    describe_gauge!(DISK_FREE_BYTES, Unit::Bytes, "Free bytes of the file system below a path");
    describe_counter!(RECLAIMED_BYTES_TOTAL, Unit::Bytes, "Bytes given back by clearing");
    describe_counter!(SERVICE_RESTARTS_TOTAL, "Private services that died and were started again");
}
