//! What an app uses and answers, and how its deploys went, as charts.

use std::collections::BTreeMap;

use askama::Template;
use axum::Extension;
use axum::extract::{Query, State};
use axum::response::Response;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use super::admission::Visitor;
use super::chart::{self, Chart, Part, Point};
use super::page::{Failure, Frame, Here, show};
use super::text::duration;
use crate::db::apps::App;
use crate::db::samples::{self, Day, Sample, StageTime};
use crate::platform::Platform;

/// A stretch of time that can be looked at, and how long one point of a chart is.
pub(super) struct Span {
    key: &'static str,
    name: &'static str,
    slots: i32,
    slot: SignedDuration,
}

/// Each slot is made of whole rows of five minutes.
const SPANS: [Span; 3] = [
    Span { key: "3h", name: "3 hours", slots: 36, slot: SignedDuration::from_mins(5) },
    Span { key: "1d", name: "A day", slots: 96, slot: SignedDuration::from_mins(15) },
    Span { key: "14d", name: "Two weeks", slots: 112, slot: SignedDuration::from_hours(3) },
];
/// Days of deploys, and builds whose stages are shown.
const DAYS: i64 = 14;
const BUILDS: i64 = 20;
/// Colours for stages, in the style sheet.
const LOOKS: usize = 6;

#[derive(Debug, Default, Deserialize)]
pub(super) struct Wish {
    #[serde(default)]
    span: String,
}

#[derive(Template)]
#[template(path = "metrics.html")]
struct Page {
    frame: Frame,
    app: String,
    spans: &'static [Span],
    chosen: &'static str,
    notes: Vec<&'static str>,
    has_requests: bool,
    usage: Vec<Chart>,
    deploys: Vec<Chart>,
}

pub(super) async fn page(
    State(platform): State<Platform>,
    Extension(visitor): Extension<Visitor>,
    Extension(app): Extension<App>,
    Query(wish): Query<Wish>,
) -> Result<Response, Failure> {
    let span = SPANS.iter().find(|span| span.key == wish.span).unwrap_or(&SPANS[0]);
    let now = Timestamp::now();
    let begin = span.begin(now);
    let mut conn = platform.pool.acquire().await?;
    let rows = samples::since(&mut conn, app.id, begin).await?;
    let today = midnight(now);
    let days = samples::days(&mut conn, app.id, today - SignedDuration::from_hours(24 * (DAYS - 1))).await?;
    let stages = samples::stage_times(&mut conn, app.id, BUILDS).await?;
    drop(conn);
    let has_requests = platform.routes_apps();
    let mut notes = Vec::new();
    if !has_requests {
        notes.push("Requests are not shown: they go through the cluster's own ingress, not through a router of the platform.");
    }
    if app.adoption.is_some() {
        notes.push("The processes are not measured: the app moves Deployments that somebody else owns.");
    } else if !has_requests && !rows.is_empty() && rows.iter().all(|row| row.memory == 0) {
        notes.push("CPU and memory are not known: the cluster has no metrics server, or it does not answer us (deploy/kubernetes/rbac.yaml has the right for it).");
    }
    show(&Page {
        frame: Frame::new(&visitor, Here::Apps, format!("Metrics of {}", app.name)),
        app: app.name.to_string(),
        spans: &SPANS,
        chosen: span.key,
        notes,
        has_requests,
        usage: usage(span, begin, rows, has_requests),
        deploys: vec![deploys(today, &days), stage_chart(&stages)],
    })
}

impl Span {
    /// The first moment that is shown: slots begin at round times, so that a reload moves nothing but the last.
    fn begin(&self, now: Timestamp) -> Timestamp {
        let slot = self.slot.as_secs();
        let last = now.as_second().div_euclid(slot) * slot;
        Timestamp::from_second(last - slot * i64::from(self.slots - 1)).unwrap_or(now)
    }

    fn say(&self, at: Timestamp) -> String {
        let form = if self.slot < SignedDuration::from_hours(1) { "%H:%M" } else { "%b %-d, %H:%M" };
        at.strftime(form).to_string()
    }
}

fn midnight(now: Timestamp) -> Timestamp {
    let day = now.to_zoned(TimeZone::UTC).start_of_day();
    day.map_or(now, |day| day.timestamp())
}

/// One sample a slot, `None` where nothing was measured.
fn binned(span: &Span, begin: Timestamp, rows: Vec<Sample>) -> Vec<(String, Option<Sample>)> {
    let mut slots: BTreeMap<i64, Sample> = BTreeMap::new();
    for row in rows {
        let place = (row.at.as_second() - begin.as_second()).div_euclid(span.slot.as_secs());
        let sum = slots.entry(place).or_default();
        sum.seconds += row.seconds;
        sum.cpu_seconds += row.cpu_seconds;
        sum.memory = sum.memory.max(row.memory);
        sum.restarts += row.restarts;
        sum.requests += row.requests;
        sum.errors += row.errors;
        sum.latency.merge(&row.latency);
    }
    let named = (0..span.slots).map(|place| {
        let at = begin + span.slot * place;
        (span.say(at), slots.remove(&i64::from(place)))
    });
    named.collect()
}

fn usage(span: &Span, begin: Timestamp, rows: Vec<Sample>, has_requests: bool) -> Vec<Chart> {
    let slots = binned(span, begin, rows);
    let of = |value: &dyn Fn(&Sample) -> Option<f64>| -> Vec<Point> {
        let point = |(when, sample): &(String, Option<Sample>)| Point {
            when: when.clone(),
            value: sample.as_ref().and_then(value),
        };
        slots.iter().map(point).collect()
    };
    let mut charts = vec![
        chart::line("CPU", &of(&|sample| per_second(sample, sample.cpu_seconds)), |cpus| {
            format!("{cpus:.2} CPUs")
        }),
        chart::line("Memory", &of(&|sample| Some(count(sample.memory) / MEBIBYTE)), |size| {
            format!("{size:.0} MiB")
        }),
        chart::line("Restarts", &of(&|sample| Some(count(sample.restarts))), |number| format!("{number:.0}")),
    ];
    if has_requests {
        let p95 = |sample: &Sample| Some(sample.latency.percentile(0.95)?.as_secs_f64() * 1000.0);
        charts.extend([
            chart::line("Requests", &of(&|sample| per_second(sample, count(sample.requests))), |rate| {
                format!("{rate:.2} a second")
            }),
            chart::line("Answers of 500 and above", &of(&|sample| Some(count(sample.errors))), |number| {
                format!("{number:.0}")
            }),
            chart::line("Time of 95 % of the answers", &of(&p95), |millis| format!("{millis:.0} ms")),
        ]);
    }
    charts
}

const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// `None` of a slot that began a moment ago.
fn per_second(sample: &Sample, amount: f64) -> Option<f64> {
    (sample.seconds >= 1.0).then(|| amount / sample.seconds)
}

#[expect(clippy::cast_precision_loss, reason = "a chart is not read to the last digit")]
fn count(number: i64) -> f64 {
    number as f64
}

fn deploys(today: Timestamp, days: &[Day]) -> Chart {
    let stack = |back: i64| {
        let begin = today - SignedDuration::from_hours(24 * back);
        let day = days.iter().find(|day| day.begin == begin);
        let part = |look: &str, name: &str, number: Option<i64>| Part {
            look: look.to_owned(),
            name: name.to_owned(),
            value: number.map_or(0.0, count),
        };
        let parts = vec![
            part("good", "released", day.map(|day| day.released)),
            part("bad", "failed", day.map(|day| day.failed)),
            part("calm", "canceled or superseded", day.map(|day| day.left)),
        ];
        (begin.strftime("%b %-d").to_string(), parts)
    };
    let stacks: Vec<_> = if days.is_empty() { Vec::new() } else { (0..DAYS).rev().map(stack).collect() };
    let sum = |of: fn(&Day) -> i64| days.iter().map(of).sum::<i64>();
    let (released, failed) = (sum(|day| day.released), sum(|day| day.failed));
    let summary = match released + failed + sum(|day| day.left) {
        0 => "Nothing was built in two weeks".to_owned(),
        all => format!("{all} in two weeks: {released} released, {failed} failed"),
    };
    chart::bars("Deploys a day", ("Day (UTC)", summary), &stacks, |number| format!("{number:.0}"))
}

fn stage_chart(times: &[StageTime]) -> Chart {
    let mut names: Vec<&str> = Vec::new();
    let mut stacks: Vec<(String, Vec<Part>)> = Vec::new();
    for time in times {
        let place = names.iter().position(|name| *name == time.stage).unwrap_or_else(|| {
            names.push(&time.stage);
            names.len() - 1
        });
        let build = format!("Build {}", time.build);
        if stacks.last().is_none_or(|(name, _)| *name != build) {
            stacks.push((build, Vec::new()));
        }
        let part =
            Part { look: format!("s{}", place % LOOKS), name: time.stage.clone(), value: time.seconds };
        if let Some((_, parts)) = stacks.last_mut() {
            parts.push(part);
        }
    }
    let whole = |(_, parts): &(String, Vec<Part>)| parts.iter().map(|part| part.value).sum::<f64>();
    let summary = match stacks.iter().map(whole).reduce(f64::max).zip(stacks.last().map(whole)) {
        Some((longest, last)) => {
            format!("The last took {}, the longest {}", duration(last), duration(longest))
        }
        None => "No build was released yet".to_owned(),
    };
    chart::bars("Time per stage of the last builds", ("Build", summary), &stacks, duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn slots_begin_at_round_times_and_add_their_rows_up() {
        let span = &SPANS[1];
        let begin = span.begin(at("2026-03-31T12:07:30Z"));
        assert_eq!(begin, at("2026-03-30T12:15:00Z"));
        let row = |when: &str, memory, requests| Sample {
            at: at(when),
            seconds: 300.0,
            cpu_seconds: 30.0,
            memory,
            requests,
            ..Sample::default()
        };
        let rows = vec![row("2026-03-31T12:00:00Z", 5, 60), row("2026-03-31T12:05:00Z", 3, 30)];
        let slots = binned(span, begin, rows);
        assert_eq!((slots.len(), slots[95].0.as_str()), (96, "12:00"));
        let last = slots[95].1.as_ref().unwrap();
        assert_eq!((last.memory, last.requests, per_second(last, 90.0)), (5, 90, Some(0.15)));
        assert!(slots[94].1.is_none());
    }

    #[test]
    fn days_without_deploys_are_days_too() {
        let today = at("2026-03-31T00:00:00Z");
        let day = Day { begin: at("2026-03-29T00:00:00Z"), released: 2, failed: 1, left: 0 };
        let chart = deploys(today, &[day]);
        assert_eq!(chart.slots.len(), 14);
        assert_eq!(chart.slots[11].said, "Mar 29: released 2, failed 1, canceled or superseded 0");
        assert_eq!(chart.summary, "3 in two weeks: 2 released, 1 failed");
        assert!(deploys(today, &[]).rows.is_empty());
    }
}
