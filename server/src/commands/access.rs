//! Who has access: the members of the app's team.

use axum::http::Method;

use super::client::path;
use super::failure::Failure;
use super::grammar::{AccessAdd, AccessRemove, TeamChoice};
use super::run::Session;
use crate::web::api::shapes::{App, Member, NewMember};

pub(super) async fn list(session: &mut Session, choice: TeamChoice) -> Result<(), Failure> {
    let team = team(session, choice).await?;
    let members: Vec<Member> = session.client.get(&path(&["teams", &team, "members"])).await?;
    if session.options.json {
        return session.terminal.json(&members).await;
    }
    session.terminal.heading(format!("{team} Access")).await?;
    let rows: Vec<_> =
        members.into_iter().map(|member| [member.user.name, member.role.as_str().to_owned()]).collect();
    session.terminal.rows(&rows).await
}

pub(super) async fn add(session: &mut Session, args: AccessAdd) -> Result<(), Failure> {
    let team = team(session, args.team).await?;
    let new = NewMember { email: args.user, role: args.role.into() };
    let member: Member = session.client.send(Method::PUT, &path(&["teams", &team, "members"]), &new).await?;
    if session.options.json {
        return session.terminal.json(&member).await;
    }
    let role = member.role.as_str();
    session.terminal.line(format!("{} is {role} of all apps of the team {team}", member.user.name)).await
}

pub(super) async fn remove(session: &mut Session, args: AccessRemove) -> Result<(), Failure> {
    let team = team(session, args.team).await?;
    let member: Member = session.client.delete(&path(&["teams", &team, "members", &args.user])).await?;
    if session.options.json {
        return session.terminal.json(&member).await;
    }
    session
        .terminal
        .line(format!("{} has no access to the apps of the team {team} any more", member.user.name))
        .await
}

/// The team named, or the app's.
async fn team(session: &Session, choice: TeamChoice) -> Result<String, Failure> {
    if let Some(team) = choice.team {
        return Ok(team);
    }
    let app = session.app(None).await?;
    let app: App = session.client.get(&path(&["apps", app.as_str()])).await?;
    Ok(app.team.name)
}
