//! The start command of an app whose Procfile has none.

use crate::error::DetectError;
use crate::languages::ruby::Project;
use crate::languages::ruby::error::RubyError;

/// Servers of Rack, in the order in which they are taken.
const SERVERS: [(&str, &str); 4] = [
    ("puma", "bundle exec puma --bind tcp://0.0.0.0:$PORT config.ru"),
    ("unicorn", "bundle exec unicorn --listen 0.0.0.0:$PORT config.ru"),
    ("falcon", "bundle exec falcon serve --bind http://0.0.0.0:$PORT --config config.ru"),
    ("thin", "bundle exec thin start --address 0.0.0.0 --port $PORT --rackup config.ru"),
];
/// Through rackup, which is a gem of its own since Rack 3.
const RACKUP: &str = "bundle exec rackup --host 0.0.0.0 --port $PORT config.ru";

/// The command of `web`; `None` if the Procfile has processes and needs none.
pub(super) fn find(project: &Project<'_>) -> Result<Option<String>, DetectError> {
    if project.app.has_web() || project.app.procfile.keys().any(|kind| kind != "release") {
        return Ok(None);
    }
    let (tree, lock) = (project.app.tree, &project.lock);
    if project.is_rails() && tree.has("config/application.rb") {
        // A committed bin/rails often is not executable, above all from Windows.
        let rails = match (tree.has("bin/rails"), tree.is_executable("bin/rails")) {
            (true, true) => "bin/rails",
            (true, false) => "ruby bin/rails",
            _ => "bundle exec rails",
        };
        return Ok(Some(format!("{rails} server --binding 0.0.0.0 --port $PORT")));
    }
    if tree.has("config.ru") {
        let server = SERVERS.iter().find(|(gem, _)| lock.has(gem)).map(|(_, command)| *command);
        let by_rackup = || lock.has("webrick").then_some(RACKUP);
        let command = server.or_else(by_rackup).ok_or(RubyError::NoServer)?;
        return Ok(Some(command.to_owned()));
    }
    for file in ["app.rb", "main.rb", "server.rb", "web.rb"] {
        let is_sinatra = |quote| tree.mentions(file, &format!("require {quote}sinatra{quote}"));
        if lock.has("sinatra") && (is_sinatra('"')? || is_sinatra('\'')?) {
            return Ok(Some(format!("bundle exec ruby {file} -o 0.0.0.0 -p $PORT")));
        }
    }
    let next = "Looked for Rails (config/application.rb), Rack (config.ru) and Sinatra (app.rb, main.rb, server.rb, web.rb).\n\
         Name the command in a Procfile: echo 'web: bundle exec ruby <file>.rb' > Procfile";
    Err(DetectError::NoStart { language: "Ruby", next: next.to_owned() })
}
