//! Who somebody is; users and teams.

use axum::http::Method;

use super::client::path;
use super::failure::Failure;
use super::grammar::{UsersCreate, UsersUpdate};
use super::run::Session;
use crate::web::api::shapes::{Account, NewAccount, NewTeam, NewUser, Team, UserChange};

pub(super) async fn whoami(session: &mut Session) -> Result<(), Failure> {
    let account: Account = session.client.get("/account").await?;
    if session.options.json {
        return session.terminal.json(&account).await;
    }
    let admin = if account.admin { " (admin)" } else { "" };
    session.terminal.line(format!("{}{admin}", account.name)).await
}

pub(super) async fn users(session: &mut Session) -> Result<(), Failure> {
    let users: Vec<Account> = session.client.get("/users").await?;
    if session.options.json {
        return session.terminal.json(&users).await;
    }
    let rows: Vec<_> = users
        .into_iter()
        .map(|user| {
            let admin = if user.admin { "admin" } else { "" };
            [user.name, admin.to_owned(), user.sign_in_email.unwrap_or_default()]
        })
        .collect();
    session.terminal.rows(&rows).await
}

pub(super) async fn create_user(session: &mut Session, args: UsersCreate) -> Result<(), Failure> {
    let UsersCreate { name, admin, team, role, email } = args;
    let new =
        NewUser { name, admin, team: Some(team.clone()), role: Some(role.into()), sign_in_email: email };
    let made: NewAccount = session.client.send(Method::POST, "/users", &new).await?;
    if session.options.json {
        return session.terminal.json(&made).await;
    }
    let role = crate::domain::access::Role::from(role).as_str();
    let name = made.account.name;
    session
        .terminal
        .line(format!("Made {name}, {role} in the team {team}. Their first token, shown once:"))
        .await?;
    session.terminal.line(made.token).await?;
    session
        .terminal
        .note(&format!(
            "{name} signs in with `slipway login`, and adds an SSH key with `slipway keys:add`.\n"
        ))
        .await;
    Ok(())
}

pub(super) async fn update_user(session: &mut Session, args: UsersUpdate) -> Result<(), Failure> {
    let email = args.email.map(|email| Some(email).filter(|email| !email.is_empty()));
    let change = UserChange { sign_in_email: email, admin: args.admin };
    let user: Account = session.client.send(Method::PATCH, &path(&["users", &args.name]), &change).await?;
    if session.options.json {
        return session.terminal.json(&user).await;
    }
    let role = if user.admin { "an admin" } else { "a member" };
    let said = match user.sign_in_email {
        Some(email) => format!("{} is {role} and signs in by {email}", user.name),
        None => format!("{} is {role} and signs in by no e-mail address", user.name),
    };
    session.terminal.line(said).await
}

pub(super) async fn remove_user(session: &mut Session, name: &str) -> Result<(), Failure> {
    let gone: Account = session.client.delete(&path(&["users", name])).await?;
    if session.options.json {
        return session.terminal.json(&gone).await;
    }
    session.terminal.line(format!("Removed {}: their tokens, keys and sessions have ended", gone.name)).await
}

pub(super) async fn teams(session: &mut Session) -> Result<(), Failure> {
    let teams: Vec<Team> = session.client.get("/teams").await?;
    if session.options.json {
        return session.terminal.json(&teams).await;
    }
    if teams.is_empty() {
        return session.terminal.line("You are in no team: ask an owner of one for access.").await;
    }
    let rows: Vec<_> = teams
        .into_iter()
        .map(|team| {
            let role = team.role.map_or("", crate::domain::access::Role::as_str).to_owned();
            [team.name, role, counted(team.members, "member"), counted(team.apps, "app")]
        })
        .collect();
    session.terminal.rows(&rows).await
}

pub(super) async fn create_team(session: &mut Session, name: &str) -> Result<(), Failure> {
    let new = NewTeam { name: name.to_owned() };
    let team: Team = session.client.send(Method::POST, "/teams", &new).await?;
    if session.options.json {
        return session.terminal.json(&team).await;
    }
    let hint = session.typed(&format!("access:add <user> --team {}", team.name));
    session.terminal.line(format!("Made the team {}. You own it; `{hint}` lets others in.", team.name)).await
}

fn counted(number: i64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
