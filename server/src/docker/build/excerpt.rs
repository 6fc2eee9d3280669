//! The lines of a Dockerfile around what went wrong.

use std::fmt::Write;

/// Lines shown before and after.
const AROUND: usize = 2;

/// A line of the Dockerfile, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line(pub(super) usize);

/// The line that the engine's own message names (`parse error on line 3: …`).
pub(super) fn named_in(message: &str) -> Option<Line> {
    let (_, rest) = message.split_once("line ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok().filter(|line| *line > 0).map(Line)
}

/// Where the instruction stands that a step of this name (`[build 2/4] RUN make`) carries out. Variables are
/// expanded in some names; those are not found.
pub(super) fn of_step(dockerfile: &str, name: &str) -> Option<Line> {
    let wanted = squeezed(name.split_once("] ").map_or(name, |(_, instruction)| instruction));
    let mut lines = dockerfile.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let mut instruction = String::new();
        let mut line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        while let Some(continued) = line.strip_suffix('\\') {
            instruction.push_str(continued);
            instruction.push(' ');
            // Comments may stand between the lines of an instruction.
            line =
                lines.by_ref().map(|(_, next)| next.trim()).find(|next| !next.starts_with('#')).unwrap_or("");
        }
        instruction.push_str(line);
        let squeezed = squeezed(&instruction);
        let same =
            squeezed == wanted || (squeezed.len() == wanted.len() && squeezed.eq_ignore_ascii_case(&wanted));
        if same {
            return Some(Line(at + 1));
        }
    }
    None
}

/// The lines around `line`, numbered, the line itself marked.
pub(super) fn around(dockerfile: &str, line: Line) -> String {
    let mut text = String::new();
    let first = line.0.saturating_sub(AROUND).max(1);
    for (at, content) in dockerfile.lines().enumerate().skip(first - 1).take(line.0 + AROUND + 1 - first) {
        let mark = if at + 1 == line.0 { '>' } else { ' ' };
        writeln!(text, "{mark} {:>4} | {content}", at + 1)
            .expect("invariant: writing to a string cannot fail");
    }
    text
}

/// Each run of white space as one space.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCKERFILE: &str = "FROM base\n# why\nRUN a && \\\n    # because\n    b\n\nCOPY . /x\nrun c   d\n";

    #[test]
    fn the_failing_instruction_is_found() {
        assert_eq!(of_step(DOCKERFILE, "[2/4] RUN a &&     b"), Some(Line(3)));
        assert_eq!(of_step(DOCKERFILE, "[stage 3/4] COPY . /x"), Some(Line(7)));
        assert_eq!(of_step(DOCKERFILE, "[4/4] RUN c   d"), Some(Line(8)));
        assert_eq!(of_step(DOCKERFILE, "[4/4] RUN something else"), None);
    }

    #[test]
    fn the_line_is_marked() {
        assert_eq!(named_in("dockerfile parse error on line 7: unknown instruction"), Some(Line(7)));
        assert_eq!(named_in("dockerfile parse error line 12: unknown"), Some(Line(12)));
        assert_eq!(named_in("no such file"), None);
        insta::assert_snapshot!(around(DOCKERFILE, Line(7)), @r"
             5 |     b
             6 | 
        >    7 | COPY . /x
             8 | run c   d
        ");
        assert_eq!(around(DOCKERFILE, Line(1)).lines().count(), 3);
        assert_eq!(around(DOCKERFILE, Line(99)), "");
    }
}
