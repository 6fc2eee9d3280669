//! What each route takes and gives, in the order of the routes.

use std::collections::BTreeMap;

use axum::http::Method;
use serde_json::Value;

use super::{Entry, entry};
use crate::web::api::shapes::{
    Account, App, AppChange, Approval, Authorization, Build, Collaborator, CollaboratorChange, Connection,
    ConnectionChange, Coupling, CronEntry, CronRun, Doors, Dyno, Formation, FormationChange,
    FormationUpdates, FormationWish, HookDelivery, Key, LogDrain, LogSession, Member, NewAccount, NewApp,
    NewAuthorization, NewCollaborator, NewConnection, NewCoupling, NewImages, NewKey, NewLogDrain, NewMember,
    NewPipeline, NewPromotion, NewRelease, NewRun, NewTeam, NewUser, NewWebhook, Pipeline, Promotion,
    Release, ReviewApp, ReviewAppConfig, ReviewAppConfigChange, Run, Team, UserChange, Webhook,
    WebhookChange, WebhookDelivery, WrittenDockerfile,
};

const TEXT: &[&str] = &["text/plain"];

fn get(path: &'static str, summary: &'static str) -> Entry {
    entry(Method::GET, path, summary)
}

fn post(path: &'static str, summary: &'static str) -> Entry {
    entry(Method::POST, path, summary)
}

fn put(path: &'static str, summary: &'static str) -> Entry {
    entry(Method::PUT, path, summary)
}

fn patch(path: &'static str, summary: &'static str) -> Entry {
    entry(Method::PATCH, path, summary)
}

fn delete(path: &'static str, summary: &'static str) -> Entry {
    entry(Method::DELETE, path, summary)
}

pub(super) fn entries() -> Vec<Entry> {
    [platform(), people(), apps(), history(), pipelines(), processes(), logs(), hooks()]
        .into_iter()
        .flatten()
        .collect()
}

fn platform() -> Vec<Entry> {
    vec![
        get("/healthz", "Whether the process answers").public().text(TEXT),
        get("/readyz", "Whether requests make sense now").public().text(TEXT),
        get("/metrics", "Figures for Prometheus").public().text(TEXT),
        get("/openapi.json", "This document").public().gives::<BTreeMap<String, Value>>(200),
        get("/platform", "Where the platform's doors are").gives::<Doors>(200),
    ]
}

fn people() -> Vec<Entry> {
    vec![
        get("/account", "Who you are").gives::<Account>(200),
        get("/account/keys", "Your SSH keys").gives::<Vec<Key>>(200),
        post("/account/keys", "Adds an SSH key").takes::<NewKey>().gives::<Key>(201),
        delete("/account/keys/{key}", "Removes an SSH key").gives::<Key>(200),
        get("/oauth/authorizations", "Your tokens").gives::<Vec<Authorization>>(200),
        post("/oauth/authorizations", "Makes a token, which is shown once")
            .takes::<NewAuthorization>()
            .gives::<Authorization>(201),
        delete("/oauth/authorizations/{id}", "Revokes a token").gives::<Authorization>(200),
        get("/users", "All users").gives::<Vec<Account>>(200),
        post("/users", "Makes a user, with a token that is shown once")
            .takes::<NewUser>()
            .gives::<NewAccount>(201),
        patch("/users/{user}", "Changes what a user signs in with, and whether they are an admin")
            .takes::<UserChange>()
            .gives::<Account>(200),
        delete("/users/{user}", "Removes a user").gives::<Account>(200),
        get("/teams", "Your teams").gives::<Vec<Team>>(200),
        post("/teams", "Makes a team").takes::<NewTeam>().gives::<Team>(201),
        get("/teams/{team}/members", "The members of a team").gives::<Vec<Member>>(200),
        put("/teams/{team}/members", "Gives somebody a role in a team")
            .takes::<NewMember>()
            .gives::<Member>(200),
        delete("/teams/{team}/members/{user}", "Takes somebody out of a team").gives::<Member>(200),
    ]
}

fn apps() -> Vec<Entry> {
    vec![
        get("/apps", "The apps that you may see").gives::<Vec<App>>(200),
        post("/apps", "Makes an app").takes::<NewApp>().gives::<App>(201),
        get("/apps/{app}", "One app").gives::<App>(200),
        patch("/apps/{app}", "Changes an app's settings").takes::<AppChange>().gives::<App>(200),
        delete("/apps/{app}", "Destroys an app with all that is stored of it").gives::<App>(200),
        get("/apps/{app}/collaborators", "Who may do what with this app by itself")
            .gives::<Vec<Collaborator>>(200),
        post("/apps/{app}/collaborators", "Gives somebody a role with this app")
            .takes::<NewCollaborator>()
            .gives::<Collaborator>(201),
        get("/apps/{app}/collaborators/{user}", "One collaborator").gives::<Collaborator>(200),
        patch("/apps/{app}/collaborators/{user}", "Gives a collaborator another role")
            .takes::<CollaboratorChange>()
            .gives::<Collaborator>(200),
        delete("/apps/{app}/collaborators/{user}", "Ends a collaborator's access").gives::<Collaborator>(200),
        get("/apps/{app}/config-vars", "The config vars with their values")
            .gives::<BTreeMap<String, String>>(200),
        patch("/apps/{app}/config-vars", "Sets config vars, and unsets those that are null; makes a release")
            .takes::<BTreeMap<String, Option<String>>>()
            .gives::<BTreeMap<String, String>>(200),
        get("/apps/{app}/buildpacks/dockerfile", "The Dockerfile that the app's buildpack writes")
            .gives::<WrittenDockerfile>(200),
    ]
}

fn history() -> Vec<Entry> {
    let offset = "Bytes of the text that are passed over";
    vec![
        get("/apps/{app}/releases", "The app's releases, in pages").pages::<Release>(),
        post("/apps/{app}/releases", "Rolls back to a release, which makes a new one")
            .takes::<NewRelease>()
            .gives::<Release>(201),
        get("/apps/{app}/releases/{release}", "One release")
            .query(
                "wait",
                "integer",
                "Seconds, 30 at most, to wait for its end or the beginning of its release phase",
            )
            .gives::<Release>(200),
        get("/apps/{app}/releases/{release}/output", "What the release phase has written")
            .query("offset", "integer", offset)
            .query("follow", "string", "`1` goes on until the phase has ended")
            .text(TEXT),
        post("/apps/{app}/container:release", "Releases images that were built elsewhere")
            .takes::<NewImages>()
            .gives::<Release>(201),
        get("/apps/{app}/builds", "The app's builds, in pages").pages::<Build>(),
        get("/apps/{app}/builds/{build}", "One build").gives::<Build>(200),
        get("/apps/{app}/builds/{build}/output", "The log of a build")
            .query("offset", "integer", offset)
            .query("follow", "string", "`1` goes on until the log is closed")
            .text(TEXT),
        post("/apps/{app}/builds/{build}/cancel", "Cancels a build").gives::<Build>(200),
        post("/apps/{app}/builds/{build}/retry", "Builds the same commit again").gives::<Build>(201),
    ]
}

fn pipelines() -> Vec<Entry> {
    vec![
        get("/pipelines", "The pipelines that you may see").gives::<Vec<Pipeline>>(200),
        post("/pipelines", "Makes a pipeline").takes::<NewPipeline>().gives::<Pipeline>(201),
        get("/pipelines/{pipeline}", "One pipeline").gives::<Pipeline>(200),
        delete("/pipelines/{pipeline}", "Removes a pipeline; its apps stay").gives::<Pipeline>(200),
        get("/pipelines/{pipeline}/pipeline-couplings", "The apps of a pipeline").gives::<Vec<Coupling>>(200),
        get("/apps/{app}/pipeline-couplings", "The app's place in its pipeline").gives::<Coupling>(200),
        put("/apps/{app}/pipeline-couplings", "Puts the app into a pipeline")
            .takes::<NewCoupling>()
            .gives::<Coupling>(200),
        delete("/apps/{app}/pipeline-couplings", "Takes the app out of its pipeline").gives::<Coupling>(200),
        post("/apps/{app}/pipeline-promotions", "Releases in the next stage what runs here")
            .takes::<NewPromotion>()
            .gives::<Promotion>(201),
    ]
}

fn processes() -> Vec<Entry> {
    vec![
        get("/apps/{app}/dynos", "The processes that run").gives::<Vec<Dyno>>(200),
        delete("/apps/{app}/dynos", "Restarts all processes").gives::<FormationChange>(202),
        delete("/apps/{app}/dynos/{dyno}", "Restarts one process, or all of a type")
            .gives::<FormationChange>(202),
        post("/apps/{app}/dynos/{dyno}/actions/stop", "Stops one process, or all of a type")
            .gives::<FormationChange>(202),
        get("/apps/{app}/formation", "How many processes of which size each type has")
            .gives::<Vec<Formation>>(200),
        patch("/apps/{app}/formation", "Scales several types at once")
            .takes::<FormationUpdates>()
            .gives::<Vec<Formation>>(200),
        get("/apps/{app}/formation/{type}", "One process type").gives::<Formation>(200),
        patch("/apps/{app}/formation/{type}", "Scales one type, or sets its autoscaler")
            .takes::<FormationWish>()
            .gives::<Formation>(200),
        get("/apps/{app}/formation-changes/{change}", "How far a change of the processes is")
            .gives::<FormationChange>(200),
        get("/apps/{app}/runs", "One-off processes that run").gives::<Vec<Run>>(200),
        post("/apps/{app}/runs", "Starts a one-off process and leaves it")
            .takes::<NewRun>()
            .gives::<Run>(201),
        post("/apps/{app}/runs/{run}/stop", "Ends a one-off process").gives::<Run>(200),
        get("/apps/{app}/attach", "A one-off process with its input and output").socket(),
        get("/apps/{app}/cron", "What the clock starts").gives::<Vec<CronEntry>>(200),
        get("/apps/{app}/cron-runs", "What the clock has started")
            .query("name", "string", "An entry; all if left out")
            .query("num", "integer", "Runs at most")
            .gives::<Vec<CronRun>>(200),
        post("/apps/{app}/cron/{entry}/runs", "Runs an entry now").gives::<CronRun>(201),
    ]
}

fn logs() -> Vec<Entry> {
    const KINDS: &[&str] = &["text/plain", "application/x-ndjson", "text/event-stream"];
    vec![
        get("/apps/{app}/logs", "What the app writes, and what is said of it")
            .query("lines", "integer", "Lines from before now")
            .query("ps", "string", "A process type, or one process")
            .query("source", "string", "`app` or `slipway`")
            .query("since", "string", "A span before now, as `10m`, or a time")
            .query("follow", "string", "`1` goes on")
            .query("after", "integer", "The id of the last line that was seen")
            .query("format", "string", "`text`, `json` or `events`")
            .text(KINDS),
        post("/apps/{app}/log-sessions", "An address under which the log is read for an hour")
            .gives::<LogSession>(201),
        get("/log-sessions/{session}", "The log of a session").public().text(KINDS),
        get("/apps/{app}/log-drains", "Where the log is sent").gives::<Vec<LogDrain>>(200),
        post("/apps/{app}/log-drains", "Sends the log to an address")
            .takes::<NewLogDrain>()
            .gives::<LogDrain>(201),
        get("/apps/{app}/log-drains/{drain}", "One log drain").gives::<LogDrain>(200),
        delete("/apps/{app}/log-drains/{drain}", "Ends a log drain").gives::<LogDrain>(200),
    ]
}

fn hooks() -> Vec<Entry> {
    vec![
        post("/hooks/{host}/{name}", "A delivery of a web hook, signed by its host")
            .public()
            .gives::<BTreeMap<String, String>>(200)
            .gives::<BTreeMap<String, String>>(202),
        get("/apps/{app}/connection", "The repository elsewhere that the app follows")
            .gives::<Connection>(200),
        post("/apps/{app}/connection", "Connects the app to a repository")
            .takes::<NewConnection>()
            .gives::<Connection>(201),
        patch("/apps/{app}/connection", "Changes the connection")
            .takes::<ConnectionChange>()
            .gives::<Connection>(200),
        delete("/apps/{app}/connection", "Ends the connection").gives::<Connection>(200),
        post("/apps/{app}/connection/secret", "Makes a new secret, which is shown once")
            .gives::<Connection>(200),
        get("/apps/{app}/hook-deliveries", "The newest deliveries and their verdicts")
            .gives::<Vec<HookDelivery>>(200),
        post("/apps/{app}/hook-deliveries", "Looks at the branch now").gives::<HookDelivery>(202),
        get("/apps/{app}/hook-deliveries/{delivery}", "One delivery").gives::<HookDelivery>(200),
        post("/apps/{app}/hook-deliveries/{delivery}/redeliver", "Judges a delivery once more")
            .gives::<HookDelivery>(202),
        get("/apps/{app}/review-app-config", "What is set of review apps").gives::<ReviewAppConfig>(200),
        patch("/apps/{app}/review-app-config", "Has an app made for each pull request, or none")
            .takes::<ReviewAppConfigChange>()
            .gives::<ReviewAppConfig>(200),
        get("/apps/{app}/review-apps", "The open pull requests and their apps").gives::<Vec<ReviewApp>>(200),
        post("/apps/{app}/review-apps/{number}/approve", "Lets a commit of a fork be built")
            .takes::<Approval>()
            .gives::<ReviewApp>(202),
        delete("/apps/{app}/review-apps/{number}", "Removes the app of a pull request")
            .gives::<ReviewApp>(200),
        get("/apps/{app}/webhooks", "Whom the app tells of what").gives::<Vec<Webhook>>(200),
        post("/apps/{app}/webhooks", "Adds a web hook").takes::<NewWebhook>().gives::<Webhook>(201),
        get("/apps/{app}/webhooks/{webhook}", "One web hook").gives::<Webhook>(200),
        patch("/apps/{app}/webhooks/{webhook}", "Changes a web hook")
            .takes::<WebhookChange>()
            .gives::<Webhook>(200),
        delete("/apps/{app}/webhooks/{webhook}", "Removes a web hook").gives::<Webhook>(200),
        get("/apps/{app}/webhook-deliveries", "What was told, in pages").pages::<WebhookDelivery>(),
        get("/apps/{app}/webhook-deliveries/{delivery}", "One delivery to a web hook, by number or id")
            .gives::<WebhookDelivery>(200),
        post("/apps/{app}/webhook-deliveries/{delivery}/redeliver", "Has something told once more")
            .gives::<WebhookDelivery>(202),
    ]
}
