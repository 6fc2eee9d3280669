//! The folder that is served.

use crate::error::DetectError;
use crate::languages::App;
use crate::languages::php::composer::Composer;
use crate::languages::php::error::PhpError;

pub(super) struct Root {
    /// Below /app; empty for the root.
    pub(super) folder: String,
    /// Whether its index.php answers for all that is no file.
    pub(super) has_front: bool,
}

pub(super) fn find(app: &App<'_>, composer: &Composer) -> Result<Option<Root>, DetectError> {
    if let Some(folder) = composer.public_folder() {
        if !app.tree.has_folder(folder) {
            return Err(PhpError::NoPublicFolder { folder: folder.to_owned() }.into());
        }
        let has_front = app.tree.has(&format!("{folder}/index.php"));
        return Ok(Some(Root { folder: folder.to_owned(), has_front }));
    }
    let folders = ["public", "web", "webroot", "htdocs", "www", "public_html"];
    let found = folders.iter().find(|folder| app.tree.has(&format!("{folder}/index.php")));
    if let Some(folder) = found {
        return Ok(Some(Root { folder: (*folder).to_owned(), has_front: true }));
    }
    Ok(app.tree.has("index.php").then(|| Root { folder: String::new(), has_front: false }))
}

pub(super) fn missing() -> DetectError {
    let next = "Looked for an index.php in the root and in public/, web/, webroot/, htdocs/, www/ and public_html/.\n\
         Name another folder in composer.json (composer config extra.public-dir <folder>), or the command in a Procfile: \
         echo 'web: php -S 0.0.0.0:$PORT -t <folder>' > Procfile";
    DetectError::NoStart { language: "PHP", next: next.to_owned() }
}
