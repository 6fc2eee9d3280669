//! The names of all metrics, in one place: seconds and bytes are base units, `_total` only counts up.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Counter, labels `outcome` (a build's last status) and `reason` (a short fixed word, never a user's text).
pub(crate) const BUILDS_TOTAL: &str = "slipway_builds_total";
/// Histogram, label `stage`.
pub(crate) const STAGE_SECONDS: &str = "slipway_stage_seconds";
/// Histogram: from acceptance to a worker's claim.
pub(crate) const QUEUE_WAIT_SECONDS: &str = "slipway_queue_wait_seconds";
/// Gauge.
pub(crate) const BUILDS_RUNNING: &str = "slipway_builds_running";
/// Gauge: 0 while nothing waits.
pub(crate) const OLDEST_PENDING_SECONDS: &str = "slipway_oldest_pending_build_seconds";
/// Counter: jobs whose worker stopped heart-beating.
pub(crate) const LEASES_LOST_TOTAL: &str = "slipway_leases_lost_total";
/// Counter: attempts to reach the registry that had to be repeated.
pub(crate) const REGISTRY_RETRIES_TOTAL: &str = "slipway_registry_retries_total";
/// Counter, label `status`.
pub(crate) const RELEASES_TOTAL: &str = "slipway_releases_total";
/// Histogram: from the recorded release to its last healthy process.
pub(crate) const ROLLOUT_SECONDS: &str = "slipway_rollout_seconds";
/// Gauge: recorded releases that the target has not taken yet.
pub(crate) const ROLLOUTS_PENDING: &str = "slipway_rollouts_pending";
/// Counter, labels `door` (`ssh`, `http`) and `outcome` (`accepted`, `refused`, `broken`).
pub(crate) const PUSHES_TOTAL: &str = "slipway_pushes_total";
/// Counter, label `door`: connections closed because their address had too many.
pub(crate) const CONNECTIONS_REFUSED_TOTAL: &str = "slipway_connections_refused_total";
/// Counter: pieces of build logs that were lost and marked as a gap.
pub(crate) const LOG_GAPS_TOTAL: &str = "slipway_log_gaps_total";
/// Gauge, label `path`.
pub(crate) const DISK_FREE_BYTES: &str = "slipway_disk_free_bytes";
/// Counter: bytes that clearing old images, layers and packs gave back.
pub(crate) const RECLAIMED_BYTES_TOTAL: &str = "slipway_reclaimed_bytes_total";
/// Counter, label `service` (`postgres`, `registry`): private services that died and were started again.
pub(crate) const SERVICE_RESTARTS_TOTAL: &str = "slipway_service_restarts_total";

/// Tells the recorder what each is.
pub(super) fn describe() {
    describe_counter!(BUILDS_TOTAL, "Builds that ended, by outcome and reason");
    describe_histogram!(STAGE_SECONDS, Unit::Seconds, "Seconds that a stage of a build took");
    describe_histogram!(QUEUE_WAIT_SECONDS, Unit::Seconds, "Seconds from acceptance of a push to its start");
    describe_gauge!(BUILDS_RUNNING, "Builds that run now");
    describe_gauge!(OLDEST_PENDING_SECONDS, Unit::Seconds, "Age of the build that waits longest");
    describe_counter!(LEASES_LOST_TOTAL, "Jobs taken over from a worker that was lost");
    describe_counter!(REGISTRY_RETRIES_TOTAL, "Requests to the registry that were repeated");
    describe_counter!(RELEASES_TOTAL, "Releases that ended, by status");
    describe_histogram!(
        ROLLOUT_SECONDS,
        Unit::Seconds,
        "Seconds from a recorded release to healthy processes"
    );
    describe_gauge!(ROLLOUTS_PENDING, "Releases that wait for an unreachable target");
    describe_counter!(PUSHES_TOTAL, "Pushes received, by door and outcome");
    describe_counter!(CONNECTIONS_REFUSED_TOTAL, "Connections over the limit of their address, by door");
    describe_counter!(LOG_GAPS_TOTAL, "Pieces of build logs that could not be stored");
    describe_gauge!(DISK_FREE_BYTES, Unit::Bytes, "Free bytes of the file system below a path");
    describe_counter!(RECLAIMED_BYTES_TOTAL, Unit::Bytes, "Bytes given back by clearing");
    describe_counter!(SERVICE_RESTARTS_TOTAL, "Private services that died and were started again");
}
