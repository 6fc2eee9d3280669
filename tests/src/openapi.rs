//! GitHub's published description of its API, and whether a body is one that it takes.
//!
//! Stricter than the document on purpose: what it does not name is refused, since a field that GitHub does not know is a
//! misspelt one; and a word of schemas that is not known here is a panic, so that nothing is waved through unread.

use std::fs;

use serde_json::{Map, Value};

use crate::parts::{Setting, skip};

/// See the module.
#[derive(Debug)]
pub(crate) struct OpenApi {
    paths: Map<String, Value>,
    components: Value,
}

impl OpenApi {
    /// `None`, said to be skipped, where it was not fetched.
    pub(crate) fn of_github() -> Option<Self> {
        let Some(file) = Setting::GithubOpenApi.get() else {
            skip("SLIPWAY_TEST_GITHUB_OPENAPI names no document (tests/octokit/fetch has it)");
            return None;
        };
        let text = fs::read(file).expect("GitHub's OpenAPI document");
        let mut whole: Value = serde_json::from_slice(&text).expect("JSON");
        let Value::Object(paths) = whole["paths"].take() else { panic!("the document has no paths") };
        Some(Self { paths, components: whole["components"].take() })
    }

    /// What is wrong with a request of this method to this path (without query) with this body; empty if nothing is.
    pub(crate) fn faults_of_request(&self, method: &str, path: &str, body: &Value) -> Vec<String> {
        let Some(operation) = self.operation(method, path) else {
            return vec![format!("{method} {path} is no operation of the API")];
        };
        let Some(schema) = operation.pointer("/requestBody/content/application~1json/schema") else {
            return if body.is_null() { Vec::new() } else { vec![format!("{method} {path} takes no body")] };
        };
        let mut faults = Vec::new();
        self.check(schema, body, "body", &mut faults);
        faults
    }

    /// The one whose path has the fewest parameters, as servers choose.
    fn operation(&self, method: &str, path: &str) -> Option<&Value> {
        let wanted: Vec<&str> = path.split('/').collect();
        let fits = |template: &str| {
            let parts: Vec<&str> = template.split('/').collect();
            let same =
                |(part, word): (&&str, &&str)| part == word || (part.starts_with('{') && !word.is_empty());
            parts.len() == wanted.len() && parts.iter().zip(&wanted).all(same)
        };
        let named = self.paths.iter().filter(|(template, _)| fits(template));
        let (_, operations) = named.min_by_key(|(template, _)| template.matches('{').count())?;
        operations.get(method.to_ascii_lowercase())
    }

    fn check(&self, schema: &Value, value: &Value, place: &str, faults: &mut Vec<String>) {
        let schema = self.resolved(schema);
        let words = schema.as_object().expect("a schema is an object");
        if value.is_null() && words.get("nullable") == Some(&Value::Bool(true)) {
            return;
        }
        for (word, rule) in words {
            match word.as_str() {
                "type" if !is_of(rule, value) => {
                    faults.push(format!("{place} is not of type {rule}: {value}"))
                }
                "enum" if !rule.as_array().is_some_and(|known| known.contains(value)) => {
                    faults.push(format!("{place} is none of {rule}: {value}"));
                }
                "required" => {
                    let names = rule.as_array().into_iter().flatten().filter_map(Value::as_str);
                    let lacking = names.filter(|name| value.get(name).is_none());
                    faults.extend(lacking.map(|name| format!("{place} lacks {name}")));
                }
                "properties" => self.check_fields(words, value, place, faults),
                "items" => {
                    for item in value.as_array().into_iter().flatten() {
                        self.check(rule, item, &format!("{place}[]"), faults);
                    }
                }
                "oneOf" | "anyOf" => {
                    let of = |one: &Value| {
                        let mut faults = Vec::new();
                        self.check(one, value, place, &mut faults);
                        faults.is_empty()
                    };
                    let fitting = rule.as_array().into_iter().flatten().filter(|one| of(one)).count();
                    if fitting == 0 || (word == "oneOf" && fitting > 1) {
                        faults.push(format!("{place} fits {fitting} of the shapes of {word}: {value}"));
                    }
                }
                "maxLength" => {
                    let most = rule.as_u64().expect("a length is a number");
                    let length = value.as_str().map_or(0, |text| text.chars().count()) as u64;
                    if length > most {
                        faults.push(format!("{place} has {length} characters, of {most}"));
                    }
                }
                "type" | "enum" | "nullable" | "additionalProperties" => {}
                "description" | "default" | "example" | "examples" | "title" => {}
                unknown => panic!("the check does not know the word {unknown} of {place}: {rule}"),
            }
        }
    }

    fn check_fields(&self, words: &Map<String, Value>, value: &Value, place: &str, faults: &mut Vec<String>) {
        let known = words["properties"].as_object().expect("properties are an object");
        let open = words.get("additionalProperties").is_some_and(|open| open != &Value::Bool(false));
        for (name, field) in value.as_object().into_iter().flatten() {
            match known.get(name) {
                Some(schema) => self.check(schema, field, &format!("{place}.{name}"), faults),
                None if open => {}
                None => faults.push(format!("{place} has a field that is not described: {name}")),
            }
        }
    }

    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let Some(name) = schema["$ref"].as_str() else { return schema };
        let path = name.strip_prefix("#/components").expect("a reference is to a component");
        self.components.pointer(path).unwrap_or_else(|| panic!("there is no {name}"))
    }
}

fn is_of(rule: &Value, value: &Value) -> bool {
    match rule.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        other => panic!("the check does not know the type {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn githubs_description_takes_what_it_says_and_nothing_near_it() {
        let Some(api) = OpenApi::of_github() else { return };
        let path = "/repos/ada/blog/deployments";
        let faults = |path: &str, body: Value| api.faults_of_request("POST", path, &body).join("; ");
        assert_eq!(
            faults(path, json!({ "ref": "main", "payload": { "build": 1 }, "description": null })),
            ""
        );
        assert!(faults(path, json!({ "environment": "x" })).contains("lacks ref"));
        assert!(faults(path, json!({ "ref": 1 })).contains("not of type"));
        assert!(
            faults(path, json!({ "ref": "main", "automerge": false })).contains("not described: automerge")
        );
        assert!(
            faults(path, json!({ "ref": "main", "required_contexts": [1] })).contains("required_contexts[]")
        );
        assert!(faults(path, json!({ "ref": "main", "payload": 7 })).contains("oneOf"));
        let statuses = "/repos/ada/blog/deployments/12/statuses";
        assert_eq!(faults(statuses, json!({ "state": "in_progress" })), "");
        assert!(faults(statuses, json!({ "state": "running" })).contains("none of"));
        assert!(faults("/repos/ada/blog/deploys", json!({})).contains("no operation"));
    }
}
