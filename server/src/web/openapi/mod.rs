//! The API described for programs: an OpenAPI 3.1 document, served at `/openapi.json`.
//!
//! Invariant: each route of [`super::router`] stands in [`table`], and nothing else does; a test walks both. Schemas
//! are derived from the shapes that the handlers read and write.

mod table;

use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::api::shapes::Refusal;

/// Words that stand in paths, as people may write them.
const PLACES: [(&str, &str); 20] = [
    ("app", "The app's name or id"),
    ("build", "The build's number or id"),
    ("release", "The release's version, as `12` or `v12`, or its id"),
    ("type", "A process type"),
    ("dyno", "A process, as `web.1`, or a process type"),
    ("change", "The id of what was asked of the processes"),
    ("run", "The name of a one-off process, as `run.4821`"),
    ("entry", "The name of an entry of cron"),
    ("session", "The secret of a log session"),
    ("host", "`github`, `gitlab`, `gitea`, `forgejo` or `generic`"),
    ("name", "The app's name"),
    ("delivery", "The id of a delivery"),
    ("number", "The number of a pull request"),
    ("webhook", "The id or the address of a web hook"),
    ("drain", "The id, the token or the address of a log drain"),
    ("key", "The id or the fingerprint of a key"),
    ("id", "The id of a token"),
    ("team", "The team's name"),
    ("user", "The user's name"),
    ("pipeline", "The pipeline's name or id"),
];

type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What a route takes and gives.
struct Entry {
    method: Method,
    path: &'static str,
    summary: &'static str,
    is_public: bool,
    query: Vec<(&'static str, &'static str, &'static str)>,
    takes: Option<SchemaOf>,
    gives: Vec<(u16, Content)>,
}

enum Content {
    Json(SchemaOf),
    /// Of these media types.
    Text(&'static [&'static str]),
    /// The connection goes on as a WebSocket.
    Socket,
}

fn entry(method: Method, path: &'static str, summary: &'static str) -> Entry {
    Entry { method, path, summary, is_public: false, query: Vec::new(), takes: None, gives: Vec::new() }
}

fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

impl Entry {
    fn public(mut self) -> Self {
        self.is_public = true;
        self
    }

    /// A parameter of the query, its JSON type and what it means.
    fn query(mut self, name: &'static str, kind: &'static str, meaning: &'static str) -> Self {
        self.query.push((name, kind, meaning));
        self
    }

    fn takes<T: JsonSchema>(mut self) -> Self {
        self.takes = Some(schema_of::<T>);
        self
    }

    fn gives<T: JsonSchema>(mut self, status: u16) -> Self {
        self.gives.push((status, Content::Json(schema_of::<T>)));
        self
    }

    /// A list in pages: 206 while there is more.
    fn pages<T: JsonSchema>(self) -> Self {
        self.gives::<Vec<T>>(200).gives::<Vec<T>>(206)
    }

    fn text(mut self, kinds: &'static [&'static str]) -> Self {
        self.gives.push((200, Content::Text(kinds)));
        self
    }

    fn socket(mut self) -> Self {
        self.gives.push((101, Content::Socket));
        self
    }
}

/// The handler.
pub(super) async fn document() -> Response {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| Bytes::from(whole().to_string()));
    ([(header::CONTENT_TYPE, "application/json")], TEXT.clone()).into_response()
}

fn whole() -> Value {
    // What clients read and write: a field that may be left out of a request is not required.
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let refusal = content("application/json", generator.subschema_for::<Refusal>().to_value());
    let mut paths = Map::new();
    for entry in table::entries() {
        let operation = operation(&entry, &mut generator);
        let path = paths.entry(entry.path).or_insert_with(|| json!({}));
        path[entry.method.as_str().to_ascii_lowercase()] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Slipway",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "The shapes of the Heroku Platform API v3 with fields of our own added. Lists of releases and \
                            builds come in pages: the header `Range` asks for one, `Next-Range` names the next.",
        },
        "paths": paths,
        "security": [{ "token": [] }],
        "components": {
            "schemas": generator.take_definitions(true),
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "responses": {
                "Refused": { "description": "Not done; the message says why, and what to do", "content": refusal },
                "Away": { "description": "Something behind the platform does not answer", "content": refusal },
            },
        },
    })
}

fn operation(entry: &Entry, generator: &mut SchemaGenerator) -> Value {
    let mut answers = Map::new();
    for (status, answer) in &entry.gives {
        answers.insert(status.to_string(), answered(answer, generator));
    }
    answers.insert("4XX".to_owned(), json!({ "$ref": "#/components/responses/Refused" }));
    answers.insert("503".to_owned(), json!({ "$ref": "#/components/responses/Away" }));
    let in_path = places(entry.path).map(|name| {
        let meaning = PLACES.iter().find(|(known, _)| *known == name).map(|(_, meaning)| *meaning);
        json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" }, "description": meaning })
    });
    let in_query = entry.query.iter().map(
        |(name, kind, meaning)| json!({ "name": name, "in": "query", "schema": { "type": kind }, "description": meaning }),
    );
    let mut operation = json!({
        "summary": entry.summary,
        "operationId": format!("{} {}", entry.method.as_str().to_ascii_lowercase(), entry.path),
        "parameters": in_path.chain(in_query).collect::<Vec<_>>(),
        "responses": answers,
    });
    if let Some(takes) = entry.takes {
        operation["requestBody"] =
            json!({ "content": content("application/json", takes(generator).to_value()) });
    }
    if entry.is_public {
        operation["security"] = json!([]);
    }
    operation
}

fn answered(answer: &Content, generator: &mut SchemaGenerator) -> Value {
    let content = match answer {
        Content::Json(schema) => content("application/json", schema(generator).to_value()),
        Content::Text(kinds) => {
            kinds.iter().map(|kind| ((*kind).to_owned(), json!({ "schema": { "type": "string" } }))).collect()
        }
        Content::Socket => return json!({ "description": "The connection goes on as a WebSocket" }),
    };
    json!({ "description": "Done", "content": content })
}

fn content(kind: &str, schema: Value) -> Map<String, Value> {
    Map::from_iter([(kind.to_owned(), json!({ "schema": schema }))])
}

/// The names in braces.
fn places(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| rest.split('}').next())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::web::router::tests::every_route;

    #[test]
    fn every_route_is_described_and_nothing_else_is() {
        let routes: BTreeSet<(String, &str, bool)> = every_route()
            .iter()
            .map(|route| (route.method.to_string(), route.path, !route.needs_somebody))
            .collect();
        let described: BTreeSet<(String, &str, bool)> = table::entries()
            .iter()
            .map(|entry| (entry.method.to_string(), entry.path, entry.is_public))
            .collect();
        assert_eq!(routes.difference(&described).collect::<Vec<_>>(), Vec::<&_>::new(), "not described");
        assert_eq!(described.difference(&routes).collect::<Vec<_>>(), Vec::<&_>::new(), "no such route");
        assert_eq!(table::entries().len(), described.len(), "one stands there twice");
    }

    #[test]
    fn the_document_says_what_every_place_is_and_every_answer_gives() {
        for entry in table::entries() {
            assert!(!entry.gives.is_empty() && !entry.summary.is_empty(), "{}", entry.path);
            for place in places(entry.path) {
                assert!(PLACES.iter().any(|(known, _)| *known == place), "{place} in {}", entry.path);
            }
        }
        let document = whole();
        let text = document.to_string();
        for (at, _) in text.match_indices("\"$ref\":\"#") {
            let target = text[at + 9..].split('"').next().expect("ends");
            assert!(document.pointer(target).is_some(), "{target} is nowhere");
        }
        assert_eq!(
            document["paths"]["/apps/{app}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
                ["$ref"],
            "#/components/schemas/App"
        );
    }
}
