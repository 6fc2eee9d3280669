//! What a build makes, and how that is taken apart into libraries, which seldom change, and the app.

use crate::recipe::Run;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A jar of jars, which Spring Boot's own tools take apart.
    SpringBoot,
    /// A folder with quarkus-run.jar.
    Quarkus,
    /// A jar that runs by itself, told the port as Micronaut wants it.
    Micronaut,
    /// A jar that runs by itself.
    Jar,
    /// Gradle's `application`: a start script and libraries.
    Distribution,
    /// Only the Procfile knows.
    Unknown,
}

impl Kind {
    /// By the words of a build file.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if has(&["spring-boot-maven-plugin", "org.springframework.boot"]) && !has(&["io.quarkus"]) {
            Some(Self::SpringBoot)
        } else if has(&["quarkus-maven-plugin", "io.quarkus"]) {
            Some(Self::Quarkus)
        } else if has(&["micronaut-maven-plugin", "io.micronaut.application"]) {
            Some(Self::Micronaut)
        } else if has(&[
            "maven-shade-plugin",
            "maven-assembly-plugin",
            "<mainClass>",
            "Main-Class",
            "shadow",
            "capsule",
        ]) {
            Some(Self::Jar)
        } else {
            None
        }
    }

    /// The command of `web`.
    pub(crate) fn command(self) -> Option<String> {
        let command = match self {
            Self::SpringBoot => "java -Dserver.port=$PORT $JAVA_OPTS -jar app.jar",
            Self::Quarkus => {
                "java -Dquarkus.http.host=0.0.0.0 -Dquarkus.http.port=$PORT $JAVA_OPTS -jar quarkus-run.jar"
            }
            Self::Micronaut => "java -Dmicronaut.server.port=$PORT $JAVA_OPTS -jar app.jar",
            Self::Jar => "java $JAVA_OPTS -jar app.jar",
            Self::Distribution => "bin/app",
            Self::Unknown => return None,
        };
        Some(command.to_owned())
    }

    /// The step that lays libraries to /out/lib and the app to /out/app: of what was built in `outputs` of a folder.
    pub(crate) fn collected(self, folder: &str, outputs: &str) -> Option<(&'static str, Run)> {
        let below = if folder.is_empty() { outputs.to_owned() } else { format!("{folder}/{outputs}") };
        let jars = if outputs == "build" { format!("{below}/libs") } else { below.clone() };
        let make = "mkdir -p /out/lib /out/app".to_owned();
        let (comment, commands) = match self {
            Self::Quarkus => (
                "Quarkus: the libraries apart from the app.",
                vec![
                    make,
                    format!("cp -r {below}/quarkus-app/lib/. /out/lib/"),
                    format!("cp -r {below}/quarkus-app/. /out/app/"),
                    "rm -r /out/app/lib".to_owned(),
                ],
            ),
            Self::Distribution => (
                "Gradle's start script under a name that is known; the libraries apart from what was built here.",
                vec![
                    make,
                    format!("cp -r {below}/install/*/lib/. /out/lib/"),
                    "mkdir /out/app/bin /out/app/lib".to_owned(),
                    "for jar in $(find . -path '*/build/libs/*.jar' -exec basename {} ';'); \
                     do if [ -f /out/lib/$jar ]; then mv /out/lib/$jar /out/app/lib/; fi; done"
                        .to_owned(),
                    format!(
                        "cp $(ls {below}/install/*/bin/* | grep -v '[.]bat$' | head -n 1) /out/app/bin/app"
                    ),
                    "chmod 755 /out/app/bin/app".to_owned(),
                ],
            ),
            Self::SpringBoot => (
                "The jar with a Main-Class; Spring Boot's tools take the libraries out of it (a jar, since Spring Boot 3.3).",
                vec![
                    find_jar(&jars),
                    "mkdir -p /out/lib".to_owned(),
                    "if jar tf app.jar | grep -q BOOT-INF/lib/spring-boot-jarmode-tools; \
                     then java -Djarmode=tools -jar app.jar extract --force --destination /out/app; \
                     else mkdir /out/app && cp app.jar /out/app/; fi"
                        .to_owned(),
                    "if [ -d /out/app/lib ]; then mv /out/app/lib /out/; fi".to_owned(),
                ],
            ),
            Self::Jar | Self::Micronaut => (
                "The jar with a Main-Class, and the libraries that lie beside it.",
                vec![
                    find_jar(&jars),
                    make,
                    "cp app.jar /out/app/".to_owned(),
                    format!("if [ -d {jars}/lib ]; then cp -r {jars}/lib/. /out/lib/; fi"),
                ],
            ),
            Self::Unknown => return None,
        };
        Some((comment, Run::new(commands)))
    }
}

/// Copies the jar that runs to app.jar: the largest with a Main-Class, for a thin one may lie beside it. Spring Boot's wars have
/// one, too.
fn find_jar(jars: &str) -> String {
    format!(
        "for jar in $(ls -S {jars}/*.jar {jars}/*.war 2>/dev/null); do rm -rf META-INF; \
         if jar xf $jar META-INF/MANIFEST.MF && grep -q ^Main-Class: META-INF/MANIFEST.MF; \
         then cp $jar app.jar; break; fi; done && \\\n    \
         if [ ! -f app.jar ]; then echo 'No jar in {jars} has a Main-Class in its manifest: nothing says what to start.' \
         'Name it in the build, or write a Procfile: web: java -cp ...' >&2; exit 1; fi"
    )
}
