//! Logs and metrics.

pub(crate) mod metrics;

use std::panic::PanicHookInfo;

use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::LogFormat;

/// Upper bounds in seconds of the buckets of every histogram: from a query to a slow build.
const BUCKETS: &[f64] =
    &[0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0];

/// Why logs or metrics could not be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TelemetryError {
    #[error(
        "`{filter}` is not a log filter: write a level such as `info`, or `info,slipway::git=debug` (SLIPWAY_LOG)"
    )]
    Filter { filter: String, source: ParseError },
    #[error("logging was set up twice in one process")]
    Logs(#[from] TryInitError),
    #[error("metrics could not be set up")]
    Metrics(#[from] BuildError),
}

/// Sends log lines to standard error from here on, panics included.
pub(crate) fn start_logs(format: LogFormat, filter: &str) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Human => {
            let colour = std::io::IsTerminal::is_terminal(&std::io::stderr());
            lines.with_target(false).with_ansi(colour).finish().try_init()?;
        }
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).finish().try_init()?,
    }
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// The text of `/metrics`.
#[derive(Clone)]
pub(crate) struct MetricsPage(PrometheusHandle);

impl MetricsPage {
    /// Installs the recorder of this process; once.
    pub(crate) fn install() -> Result<Self, TelemetryError> {
        let page = Self(PrometheusBuilder::new().set_buckets(BUCKETS)?.install_recorder()?);
        metrics::describe();
        Ok(page)
    }

    /// Prometheus' text format. Folds finished samples first, so that a page that is never asked for costs memory only
    /// once per bucket: call it, or `fold`, now and then.
    pub(crate) fn render(&self) -> String {
        self.fold();
        self.0.render()
    }

    /// Folds samples of histograms into their buckets.
    pub(crate) fn fold(&self) {
        self.0.run_upkeep();
    }
}

/// A panic is a log line like all others: JSON stays JSON.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let text = panic.payload_as_str().unwrap_or("(no message)");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(panic.location = place, "Panic: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_described_and_rendered_in_prometheus_text() {
        let page = MetricsPage::install().unwrap();
        ::metrics::counter!(metrics::BUILDS_TOTAL, "outcome" => "succeeded").increment(1);
        ::metrics::histogram!(metrics::STAGE_SECONDS, "stage" => "build").record(3.0);
        let text = page.render();
        assert!(text.contains("# HELP slipway_builds_total Builds that ended"), "{text}");
        assert!(text.contains(r#"slipway_builds_total{outcome="succeeded"} 1"#), "{text}");
        assert!(text.contains(r#"slipway_stage_seconds_bucket{stage="build",le="5"} 1"#), "{text}");
        assert!(text.contains(r#"slipway_stage_seconds_bucket{stage="build",le="2.5"} 0"#), "{text}");
    }

    #[test]
    fn a_filter_that_is_none_is_quoted_back() {
        let error = start_logs(LogFormat::Human, "slipway=lowd").unwrap_err();
        assert!(error.to_string().starts_with("`slipway=lowd` is not a log filter"));
    }
}
