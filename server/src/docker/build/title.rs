//! A step's name as people read it: without what every step of a buildpack has in common.

/// Longer names are cut: the Dockerfile has the rest.
const LONGEST: usize = 240;
/// What goes before the commands of a buildpack's step: it reads the secrets that are mounted.
const PRELUDE: (&str, &str) = ("if [ -f /run/secrets/", "; fi && ");

/// The first line of a step's name, without mounts and the reading of mounted secrets.
pub(super) fn title(name: &str) -> String {
    if !name.contains(" --mount=") {
        return cut(name.to_owned());
    }
    let words: Vec<&str> = name.split_whitespace().filter(|word| !word.starts_with("--mount=")).collect();
    let mut text = words.join(" ");
    let (begin, end) = PRELUDE;
    while let Some(from) = text.find(begin) {
        let Some(to) = text[from..].find(end) else { break };
        text.replace_range(from..from + to + end.len(), "");
    }
    cut(text)
}

fn cut(mut text: String) -> String {
    if let Some((at, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(at);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_and_the_reading_of_secrets_are_left_out() {
        let name = "[build 4/5] RUN --mount=type=cache,id=a-pip,target=/c     --mount=type=secret,id=config     \
                    if [ -f /run/secrets/config ]; then . /run/secrets/config; fi &&     \
                    if [ -f /run/secrets/ca ]; then export       A=/run/secrets/ca; fi &&     pip install  x";
        assert_eq!(title(name), "[build 4/5] RUN pip install x");
        assert_eq!(title("[2/3] RUN echo  'a  b'"), "[2/3] RUN echo  'a  b'");
    }

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        let long = title(&format!("RUN {}", "ä".repeat(400)));
        assert_eq!(long.chars().count(), LONGEST + 1);
        assert!(long.ends_with("ä…"));
    }
}
