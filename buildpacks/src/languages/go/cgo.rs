//! Whether a program needs cgo, and with it a C compiler and the C library.

use super::modules::Modules;
use crate::source::Tree;

/// Modules that are bindings to libraries in C.
const BINDINGS: [&str; 10] = [
    "github.com/mattn/go-sqlite3",
    "github.com/confluentinc/confluent-kafka-go",
    "github.com/davidbyttow/govips",
    "github.com/h2non/bimg",
    "github.com/libgit2/git2go",
    "github.com/linxGnu/grocksdb",
    "github.com/marcboeker/go-duckdb",
    "github.com/duckdb/duckdb-go",
    "github.com/tursodatabase/go-libsql",
    "gocv.io/x/gocv",
];

/// The module or file that needs it.
pub(crate) fn needed_by(tree: &Tree<'_>, modules: &Modules) -> Option<String> {
    let is_binding = |path: &str| {
        let rest = BINDINGS.iter().find_map(|binding| path.strip_prefix(binding));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let module = modules.requires().find(|path| is_binding(path));
    module.map(str::to_owned).or_else(|| {
        // Own code in C lies beside the Go that calls it, or is a comment in it.
        let own = tree.paths().filter(|path| path.ends_with(".go") && !path.ends_with("_test.go"));
        let mut own = own.filter(|path| !path.starts_with("vendor/") && !path.contains("/testdata/"));
        own.find(|path| tree.mentions(path, "import \"C\"").unwrap_or(false)).map(str::to_owned)
    })
}
