//! Commands of a Procfile that name what the build made where it was made: `java -jar target/shop.jar`.

use std::collections::BTreeSet;

use crate::languages::App;

/// The folders `target` and `build` that commands name, whole.
pub(crate) fn outputs(app: &App<'_>) -> BTreeSet<String> {
    let words = app.procfile.values().flat_map(|command| command.split([' ', '\t', ':', '=', '"', '\'']));
    words.filter_map(output).collect()
}

fn output(word: &str) -> Option<String> {
    let word = word.trim_start_matches("./").trim_start_matches("/app/");
    let parts: Vec<&str> = word.split('/').collect();
    let at = parts.iter().position(|part| matches!(*part, "target" | "build"))?;
    (at + 1 < parts.len()).then(|| parts[..=at].join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_a_path_in_a_command() {
        assert_eq!(output("target/shop.jar").as_deref(), Some("target"));
        assert_eq!(output("./api/build/libs/*").as_deref(), Some("api/build"));
        assert_eq!(output("build"), None);
    }
}
