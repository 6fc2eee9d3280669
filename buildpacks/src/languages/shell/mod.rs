//! A Procfile alone, with scripts or programs that the commit brings.

mod notes;

use crate::error::DetectError;
use crate::languages::{App, Buildpack, Made, binaries};
use crate::recipe::Stage;

pub(crate) const BUILDPACK: Buildpack = Buildpack {
    name: "shell",
    language: "Shell",
    aliases: &["procfile", "bash", "null", "inline"],
    looks_for: "Procfile, with commands that the commit brings",
    files: &["Procfile"],
    detect,
    plan,
};

fn detect(app: &App<'_>) -> Result<Option<String>, DetectError> {
    Ok((!app.procfile.is_empty()).then(|| "Procfile".to_owned()))
}

fn plan(app: &App<'_>) -> Result<Made, DetectError> {
    let stage = Stage::new("run", app.bases.image(binaries::IMAGE)).copy_all();
    Ok(Made { stages: vec![stage], notes: notes::of(app), ..Made::default() })
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_fixture_is_planned_as_its_snapshot_says() {
        crate::testing::check("languages/shell/fixtures");
    }
}
