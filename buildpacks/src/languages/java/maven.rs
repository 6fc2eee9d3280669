//! Maven: the poms of the tree, and the step that packages.

use super::error::JavaError;
use super::kind::Kind;
use super::{Build, projects, xml};
use crate::error::DetectError;
use crate::languages::App;
use crate::recipe::Run;
use crate::source::in_folder;

const WRAPPER: &str = ".mvn/wrapper/maven-wrapper.properties";

/// A pom that is of no module that others are made of.
struct Pom {
    folder: String,
    text: String,
}

pub(super) fn plan(app: &App<'_>, series: &str) -> Result<Build, DetectError> {
    let has_wrapper = app.tree.has("mvnw");
    if has_wrapper && !app.tree.has(WRAPPER) {
        return Err(DetectError::language(JavaError::WrapperIncomplete {
            script: "mvnw",
            file: WRAPPER,
            tool: "Maven",
            command: "mvn wrapper:wrapper",
        }));
    }
    let (folder, kind) = runs(app, &poms(app)?)?;
    let (image, command) = if has_wrapper {
        (format!("eclipse-temurin:{series}-jdk"), "sh ./mvnw")
    } else {
        (format!("maven:3-eclipse-temurin-{series}"), "mvn")
    };
    // The names of Heroku's settings for the same things.
    let line = format!(
        "{command} --batch-mode --no-transfer-progress ${{MAVEN_CUSTOM_OPTS:--DskipTests}} ${{MAVEN_CUSTOM_GOALS:-package}}"
    );
    let compile = Run::build([line]).in_java().cache("maven", "/root/.m2");
    Ok(Build { tool: "Maven", image: app.bases.image(&image), compile, kind, folder, notes: Vec::new() })
}

/// The root's pom and those of its modules, which may have modules themselves.
fn poms(app: &App<'_>) -> Result<Vec<Pom>, DetectError> {
    let root = xml::without_comments(&app.tree.text("pom.xml")?.unwrap_or_default());
    let modules = xml::texts_of(&root, "module").join(", ");
    let mut poms = vec![Pom { folder: String::new(), text: root }];
    let mut at = 0;
    while let Some(pom) = poms.get(at) {
        for folder in folders(pom) {
            let known = poms.iter().any(|pom| pom.folder == folder);
            if let Some(text) = app.tree.text(&in_folder(&folder, "pom.xml"))?.filter(|_| !known) {
                poms.push(Pom { folder, text: xml::without_comments(&text) });
            }
        }
        at += 1;
    }
    if !modules.is_empty() && poms.len() == 1 {
        return Err(DetectError::language(JavaError::NoModules { list: "pom.xml", modules }));
    }
    Ok(poms)
}

/// The folders of a pom's modules: one that is in several profiles is named several times.
fn folders(pom: &Pom) -> Vec<String> {
    let named = xml::texts_of(&pom.text, "module").into_iter();
    let folder = |module: &str| {
        module.trim_start_matches("./").trim_end_matches("pom.xml").trim_end_matches('/').to_owned()
    };
    named.map(|module| in_folder(&pom.folder, &folder(module))).collect()
}

/// The module that runs, and what it is packaged as.
fn runs(app: &App<'_>, poms: &[Pom]) -> Result<(String, Kind), DetectError> {
    let packaged = poms.iter().filter(|pom| xml::text_of(&pom.text, "packaging") != Some("pom"));
    let packaged: Vec<&Pom> = packaged.collect();
    let known: Vec<(&str, Kind)> =
        packaged.iter().filter_map(|pom| Some((pom.folder.as_str(), Kind::of(&pom.text)?))).collect();
    if let Some(running) = projects::running(app, &known) {
        return Ok(running);
    }
    // A parent that is not in the tree may name the main class.
    let has_other_parent =
        |pom: &&&Pom| pom.text.contains("<parent>") && !pom.text.contains("spring-boot-starter-parent");
    if let (true, [only]) = (known.is_empty(), packaged.as_slice())
        && has_other_parent(&only)
        && poms.len() == 1
    {
        return Ok((String::new(), Kind::Jar));
    }
    Err(DetectError::NoStart { language: "Java", next: next(&known) })
}

fn next(known: &[(&str, Kind)]) -> String {
    match known.first() {
        Some((folder, _)) => {
            let folders: Vec<&str> = known.iter().map(|(folder, _)| *folder).collect();
            format!(
                "Several modules run: {}. Say in a Procfile which one answers requests: echo 'web: java -jar {folder}/target/<name>.jar' >> Procfile",
                folders.join(", ")
            )
        }
        None => "Nothing in pom.xml names a main class. Add spring-boot-maven-plugin or maven-shade-plugin with a <mainClass>, \
                 or say it in a Procfile: echo 'web: java -cp target/classes:target/dependency/* com.example.Main' >> Procfile"
            .to_owned(),
    }
}
