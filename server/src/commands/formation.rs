//! How many processes run, and fresh ones: each verb asks, waits until it is done, and says what runs now.

use std::time::{Duration, Instant};

use axum::http::Method;
use serde_json::json;

use super::client::path;
use super::failure::Failure;
use super::grammar::{Autoscaling, Waiting};
use super::run::Session;
use crate::domain::formation::{Autoscale, ChangeStatus};
use crate::domain::names::{AppName, ProcessType};
use crate::web::api::shapes::{
    Dyno, Formation, FormationChange, FormationUpdate, FormationUpdates, FormationWish, NewCount, Release,
    SizeWord,
};

/// How often the platform is asked while something is on its way.
const POLL: Duration = Duration::from_millis(300);
/// How long a verb waits for what it has asked for; it goes on without the verb.
const PATIENCE: Duration = Duration::from_secs(20 * 60);

/// Without words: what the formation is.
pub(super) async fn scale(session: &mut Session, words: &[String]) -> Result<(), Failure> {
    let app = session.app(None).await?;
    if words.is_empty() {
        return show(session, &app).await;
    }
    let updates = words.iter().map(|word| parse_update(word)).collect::<Result<Vec<_>, Failure>>()?;
    let types: Vec<String> = updates.iter().map(|update| update.process_type.clone()).collect();
    let wish = FormationUpdates { updates };
    session.begin(&format!("Scaling {app}")).await?;
    let change = session.client.ask_change(Method::PATCH, &of(&app, &["formation"]), &wish).await;
    finish(session, &app, change, &types).await
}

pub(super) async fn autoscale(session: &mut Session, args: Autoscaling) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let autoscale = match (args.off, args.min.zip(args.max)) {
        (false, Some((min, max))) => Some(Autoscale { min, max, cpu: args.cpu }),
        _ => None,
    };
    let wish = FormationWish { autoscale: Some(autoscale), ..Default::default() };
    let name = args.process_type.to_string();
    session.begin(&format!("Setting the autoscaling of {name} of {app}")).await?;
    let at = of(&app, &["formation", &name]);
    let change = session.client.ask_change(Method::PATCH, &at, &wish).await;
    finish(session, &app, change, &[name]).await
}

/// All processes, those of a type, or one.
pub(super) async fn restart(session: &mut Session, word: Option<String>) -> Result<(), Failure> {
    let app = session.app(None).await?;
    let (doing, at) = match &word {
        Some(word) => (format!("Restarting {word} of {app}"), of(&app, &["dynos", word])),
        None => (format!("Restarting {app}"), of(&app, &["dynos"])),
    };
    session.begin(&doing).await?;
    let change = session.client.ask_change(Method::DELETE, &at, &json!({})).await;
    finish(session, &app, change, &[]).await
}

pub(super) async fn stop(session: &mut Session, word: &str) -> Result<(), Failure> {
    let app = session.app(None).await?;
    session.begin(&format!("Stopping {word} of {app}")).await?;
    let at = of(&app, &["dynos", word, "actions", "stop"]);
    let change = session.client.ask_change(Method::POST, &at, &json!({})).await;
    finish(session, &app, change, &[]).await
}

/// Until the current release runs on all processes.
pub(super) async fn wait(session: &mut Session, args: Waiting) -> Result<(), Failure> {
    let app = session.app(None).await?;
    session.begin(&format!("Waiting for {app}")).await?;
    let begun = Instant::now();
    loop {
        let lacking = match look(session, &app, args.process_type.as_ref()).await? {
            Ok(done) => return session.end(&done).await,
            Err(lacking) => lacking,
        };
        if begun.elapsed() >= args.limit {
            session.end("not yet").await?;
            let limit = humantime::format_duration(args.limit);
            return Err(Failure::refused(format!("after {limit} {lacking}")));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// What runs now, or what is still to come.
async fn look(
    session: &Session,
    app: &AppName,
    only: Option<&ProcessType>,
) -> Result<Result<String, String>, Failure> {
    let releases = session.client.newest::<Release>(&of(app, &["releases"]), 200).await?;
    if let Some(release) = releases.iter().find(|release| release.status == "pending") {
        return Ok(Err(format!("v{} is on its way", release.version)));
    }
    let Some(current) = releases.iter().find(|release| release.current) else {
        return Err(Failure::refused(format!("{app} has no release yet: the first push makes one")));
    };
    let chosen = |name: &str| only.is_none_or(|only| only.as_str() == name);
    let formation: Vec<Formation> = session.client.get(&of(app, &["formation"])).await?;
    if formation.iter().any(|one| one.pending) {
        return Ok(Err("what was asked of the processes is not done".to_owned()));
    }
    let dynos: Vec<Dyno> = session.client.get(&of(app, &["dynos"])).await?;
    let staying = || dynos.iter().filter(|dyno| dyno.state != "down" && chosen(&dyno.process_type));
    if let Some(dyno) = staying().find(|dyno| dyno.state != "up") {
        return Ok(Err(format!("{} is {}", dyno.name, dyno.state)));
    }
    let absent = formation.iter().filter(|one| one.quantity > 0 && chosen(&one.process_type));
    let absent = absent.into_iter().find(|one| staying().all(|dyno| dyno.process_type != one.process_type));
    if let Some(one) = absent {
        return Ok(Err(format!("no process of the type {} is there", one.process_type)));
    }
    let processes = match staying().count() {
        1 => "1 process".to_owned(),
        many => format!("{many} processes"),
    };
    Ok(Ok(format!("v{} runs on {processes}", current.version)))
}

/// `web=3:standard worker=1:standard`, as Heroku prints it.
async fn show(session: &mut Session, app: &AppName) -> Result<(), Failure> {
    let formation: Vec<Formation> = session.client.get(&of(app, &["formation"])).await?;
    if session.options.json {
        return session.terminal.json(&formation).await;
    }
    if formation.is_empty() {
        return session.terminal.line(format!("{app} has no processes yet. `git push` brings them.")).await;
    }
    let one = |one: &Formation| format!("{}={}:{}", one.process_type, one.quantity, one.size);
    session.terminal.line(formation.iter().map(one).collect::<Vec<_>>().join(" ")).await?;
    for one in &formation {
        if let Some(Autoscale { min, max, cpu }) = one.autoscale {
            let text = format!(
                "{} is autoscaled: {min} to {max} processes, at {cpu} % of their CPUs",
                one.process_type
            );
            session.terminal.line(text).await?;
        }
    }
    Ok(())
}

/// Waits for what was asked, and says what runs now of these types.
async fn finish(
    session: &mut Session,
    app: &AppName,
    asked: Result<String, super::client::ClientError>,
    types: &[String],
) -> Result<(), Failure> {
    let outcome = match asked {
        Ok(id) => ended(session, app, &id).await,
        Err(refused) => Err(refused.into()),
    };
    let change = match outcome {
        Ok(change) if change.status == ChangeStatus::Succeeded => change,
        Ok(change) => {
            session.end("failed").await?;
            let reason = change.reason.unwrap_or_else(|| "no reason is known".to_owned());
            return Err(Failure::Refused(reason));
        }
        Err(failure) => {
            session.end("failed").await?;
            return Err(failure);
        }
    };
    if session.options.json {
        return session.terminal.json(&change).await;
    }
    let formation: Vec<Formation> = session.client.get(&of(app, &["formation"])).await?;
    let now = formation.iter().filter(|one| types.contains(&one.process_type));
    let now = now.map(|one| match one.autoscale {
        Some(Autoscale { min, max, cpu }) => {
            format!("{} at {min} to {max}, by {cpu} % of their CPUs", one.process_type)
        }
        None => format!("{} at {}:{}", one.process_type, one.quantity, one.size),
    });
    let now = now.collect::<Vec<_>>().join(", ");
    let text = if now.is_empty() { "done".to_owned() } else { format!("done, now running {now}") };
    session.end(&text).await
}

async fn ended(session: &Session, app: &AppName, id: &str) -> Result<FormationChange, Failure> {
    let at = of(app, &["formation-changes", id]);
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let change: FormationChange = session.client.get(&at).await?;
        if change.status != ChangeStatus::Pending {
            return Ok(change);
        }
        tokio::time::sleep(POLL).await;
    }
    Err(Failure::refused(format!(
        "it is still on its way after {} minutes, and goes on: `{}` waits for it",
        PATIENCE.as_secs() / 60,
        session.typed(&format!("ps:wait --app {app}"))
    )))
}

impl Session {
    /// `doing... `, which `end` completes; nothing where JSON is wanted.
    async fn begin(&mut self, doing: &str) -> Result<(), Failure> {
        if self.options.json { Ok(()) } else { self.terminal.bytes(format!("{doing}... ").as_bytes()).await }
    }

    async fn end(&mut self, how: &str) -> Result<(), Failure> {
        if self.options.json { Ok(()) } else { self.terminal.line(how).await }
    }
}

fn of(app: &AppName, rest: &[&str]) -> String {
    path(&[&["apps", app.as_str()], rest].concat())
}

/// `web=3`, `web=2:large`.
fn parse_update(word: &str) -> Result<FormationUpdate, Failure> {
    let wrong = || {
        let word: String = word.chars().filter(|c| !c.is_control()).take(40).collect();
        Failure::refused(format!(
            "`{word}` is no `type=quantity` or `type=quantity:size`, such as web=3 or web=2:large"
        ))
    };
    let (name, amount) = word.split_once('=').ok_or_else(wrong)?;
    let (quantity, size) = match amount.split_once(':') {
        Some((quantity, size)) if !size.is_empty() => (quantity, Some(size.to_owned())),
        Some(_) => return Err(wrong()),
        None => (amount, None),
    };
    Ok(FormationUpdate {
        process_type: name.to_owned(),
        count: NewCount {
            quantity: Some(quantity.parse().map_err(|_| wrong())?),
            size: size.map(SizeWord::Word),
        },
    })
}
