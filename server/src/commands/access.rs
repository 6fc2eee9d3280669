//! Who has access to an app: its collaborators, and the members of its team; and who is in a team.

use axum::http::Method;

use super::client::path;
use super::failure::Failure;
use super::grammar::{AccessAdd, AccessRemove, AccessUpdate, TeamChoice};
use super::run::Session;
use crate::web::api::shapes::{
    App, Collaborator, CollaboratorChange, Member, NewCollaborator, NewMember, Team,
};

pub(super) async fn list(session: &mut Session, choice: TeamChoice) -> Result<(), Failure> {
    match choice.team {
        Some(team) => of_team(session, &team).await,
        None => of_app(session).await,
    }
}

async fn of_team(session: &mut Session, team: &str) -> Result<(), Failure> {
    let members = members(session, team).await?;
    if session.options.json {
        return session.terminal.json(&members).await;
    }
    session.terminal.heading(format!("{team} Access")).await?;
    let rows: Vec<_> =
        members.into_iter().map(|member| [member.user.name, member.role.as_str().to_owned()]).collect();
    session.terminal.rows(&rows).await
}

async fn of_app(session: &mut Session) -> Result<(), Failure> {
    let name = session.app(None).await?;
    let collaborators: Vec<Collaborator> =
        session.client.get(&path(&["apps", name.as_str(), "collaborators"])).await?;
    if session.options.json {
        return session.terminal.json(&collaborators).await;
    }
    let app: App = session.client.get(&path(&["apps", name.as_str()])).await?;
    let teams: Vec<Team> = session.client.get("/teams").await?;
    let team = app.team.name;
    // Collaborators need not be in the team, and then do not learn who is.
    let members = match teams.iter().any(|one| one.name == team) {
        true => members(session, &team).await?,
        false => Vec::new(),
    };
    session.terminal.heading(format!("{name} Access")).await?;
    let row =
        |name: String, role: crate::domain::access::Role, by: String| [name, role.as_str().to_owned(), by];
    let own = collaborators.into_iter().map(|one| row(one.user.email, one.role, "collaborator".to_owned()));
    let of_team = members.into_iter().map(|one| row(one.user.name, one.role, format!("team {team}")));
    let rows: Vec<_> = own.chain(of_team).collect();
    session.terminal.rows(&rows).await
}

async fn members(session: &Session, team: &str) -> Result<Vec<Member>, Failure> {
    Ok(session.client.get(&path(&["teams", team, "members"])).await?)
}

pub(super) async fn add(session: &mut Session, args: AccessAdd) -> Result<(), Failure> {
    let role = args.role.into();
    if let Some(team) = args.team.team {
        return set_member(session, &team, NewMember { email: args.user, role }).await;
    }
    let app = session.app(None).await?;
    let new = NewCollaborator { user: args.user, role: Some(role), silent: None };
    let place = path(&["apps", app.as_str(), "collaborators"]);
    let made: Collaborator = session.client.send(Method::POST, &place, &new).await?;
    told(session, &made).await
}

pub(super) async fn update(session: &mut Session, args: AccessUpdate) -> Result<(), Failure> {
    let role = args.role.into();
    if let Some(team) = args.team.team {
        return set_member(session, &team, NewMember { email: args.user, role }).await;
    }
    let app = session.app(None).await?;
    let change = CollaboratorChange { role };
    let place = path(&["apps", app.as_str(), "collaborators", &args.user]);
    let changed: Collaborator = session.client.send(Method::PATCH, &place, &change).await?;
    told(session, &changed).await
}

async fn told(session: &mut Session, one: &Collaborator) -> Result<(), Failure> {
    if session.options.json {
        return session.terminal.json(one).await;
    }
    let role = one.role.as_str();
    session.terminal.line(format!("{} is {role} of {}", one.user.email, one.app.name)).await
}

async fn set_member(session: &mut Session, team: &str, new: NewMember) -> Result<(), Failure> {
    let member: Member = session.client.send(Method::PUT, &path(&["teams", team, "members"]), &new).await?;
    if session.options.json {
        return session.terminal.json(&member).await;
    }
    let role = member.role.as_str();
    session.terminal.line(format!("{} is {role} of all apps of the team {team}", member.user.name)).await
}

pub(super) async fn remove(session: &mut Session, args: AccessRemove) -> Result<(), Failure> {
    let Some(team) = args.team.team else {
        let app = session.app(None).await?;
        let place = path(&["apps", app.as_str(), "collaborators", &args.user]);
        let gone: Collaborator = session.client.delete(&place).await?;
        if session.options.json {
            return session.terminal.json(&gone).await;
        }
        let said = format!("{} has no role of their own for {app} any more", gone.user.email);
        return session.terminal.line(said).await;
    };
    let member: Member = session.client.delete(&path(&["teams", &team, "members", &args.user])).await?;
    if session.options.json {
        return session.terminal.json(&member).await;
    }
    session
        .terminal
        .line(format!("{} has no access to the apps of the team {team} any more", member.user.name))
        .await
}
