//! Fixtures: small trees in a file each, beside the snapshot of what is made of them.
//!
//! A fixture starts with lines `key: value` (`buildpack`, `builder` and `dockerfile` as the app is set, `bases` for a list of
//! official names, `ca` for an extra CA); then comes each file after a line `-- path --`, or `-- path -- executable`.

use std::collections::BTreeMap;
use std::path::Path;

use crate::{Bases, Choice, DetectError, Files, Plan, Settings, Writing, plan};

/// Checks each fixture of a folder of `src/` against its snapshot, and tells all that differ at once.
pub(crate) fn check(folder: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(folder);
    let listed = std::fs::read_dir(&folder).expect("the folder of fixtures");
    let mut names: Vec<String> = listed
        .filter_map(|entry| entry.expect("an entry").file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".txt").map(str::to_owned))
        .collect();
    names.sort();
    assert!(!names.is_empty(), "{} has no fixtures", folder.display());
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(&folder);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _guard = settings.bind_to_scope();
    let differ: Vec<String> = names
        .into_iter()
        .filter(|name| {
            let text = std::fs::read_to_string(folder.join(format!("{name}.txt"))).expect("a fixture");
            let shown = shown(&text);
            std::panic::catch_unwind(|| insta::assert_snapshot!(name.as_str(), shown)).is_err()
        })
        .collect();
    assert!(differ.is_empty(), "these differ from their snapshots: {}", differ.join(", "));
}

/// What a fixture is made into, as text.
pub(crate) fn shown(fixture: &str) -> String {
    let (options, files) = parse(fixture);
    let option = |name: &str| options.get(name).map(String::as_str);
    let bases = option("bases").unwrap_or_default();
    let list: String = bases.split_whitespace().map(|name| format!("{name} local/{name}\n")).collect();
    let bases = Bases::default().with_list(&list).expect("a list of bases");
    let procfile = files.procfile();
    let settings = Settings {
        buildpack: option("buildpack"),
        builder: option("builder"),
        dockerfile: option("dockerfile"),
    };
    let choice = Choice::of(&files.0);
    let made = choice.and_then(|choice| plan(&files.0, settings, &choice, &procfile, &bases));
    describe(made, option("ca").is_some())
}

fn describe(made: Result<Plan, DetectError>, extra_ca: bool) -> String {
    let recipe = match made {
        Ok(Plan::Dockerfile { path }) => return format!("Dockerfile: {path}"),
        Ok(Plan::Builder { image }) => return format!("Builder: {image}"),
        Ok(Plan::Recipe(recipe)) => recipe,
        Err(error) => return format!("Refused: {error}"),
    };
    let version =
        recipe.version.as_ref().map(|chosen| format!("version: {} from {}", chosen.series, chosen.from));
    let manager = recipe.package_manager.map(|name| format!("package manager: {name}"));
    let processes = recipe.processes.iter().map(|(name, command)| format!("{name}: {command}"));
    let mut lines = vec![format!("{}, because {}", recipe.buildpack, recipe.because)];
    lines.extend(version.into_iter().chain(manager).chain(processes));
    lines.extend(recipe.notes.iter().map(|note| format!("note: {note}")));
    let dockerfile = recipe.dockerfile(Writing { cache_scope: "blog", extra_ca });
    format!("{}\n\n{dockerfile}", lines.join("\n"))
}

pub(crate) struct Fixture(pub(crate) Files);

impl Fixture {
    fn procfile(&self) -> BTreeMap<String, String> {
        let text = crate::Source::read(&self.0, "Procfile").expect("memory").unwrap_or_default();
        let text = String::from_utf8(text).expect("text");
        let lines = text.lines().filter_map(|line| line.split_once(':'));
        lines.map(|(name, command)| (name.trim().to_owned(), command.trim().to_owned())).collect()
    }
}

fn parse(fixture: &str) -> (BTreeMap<String, String>, Fixture) {
    let (mut options, mut files) = (BTreeMap::new(), Files::default());
    let mut current: Option<(String, bool, String)> = None;
    let mut add = |current: Option<(String, bool, String)>| {
        if let Some((path, executable, text)) = current {
            files.add(path, text, executable);
        }
    };
    // Not `lines`, which would take the line ends of Windows away.
    for line in fixture.strip_suffix('\n').unwrap_or(fixture).split('\n') {
        if let Some((path, flag)) = line.strip_prefix("-- ").and_then(|rest| rest.split_once(" --")) {
            add(current.replace((path.to_owned(), flag.trim() == "executable", String::new())));
        } else if let Some((_, _, text)) = &mut current {
            text.push_str(line);
            text.push('\n');
        } else if let Some((name, value)) = line.split_once(':') {
            options.insert(name.trim().to_owned(), value.trim().to_owned());
        }
    }
    add(current);
    (options, Fixture(files))
}
