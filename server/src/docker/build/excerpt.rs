//! The lines of a Dockerfile around what went wrong.

use std::fmt::Write;

/// Lines shown before and after.
const AROUND: usize = 2;

/// An instruction's first and last line, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lines {
    pub(super) first: usize,
    pub(super) last: usize,
}

/// The line that the engine's own message names (`parse error on line 3: …`).
pub(super) fn named_in(message: &str) -> Option<Lines> {
    let (_, rest) = message.split_once("line ")?;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok().filter(|line| *line > 0).map(|line| Lines { first: line, last: line })
}

/// Where the instruction stands that a step of this name (`[build 2/4] RUN make`) carries out. Variables are
/// expanded in some names; those are not found.
pub(super) fn of_step(dockerfile: &str, name: &str) -> Option<Lines> {
    let wanted = squeezed(name.split_once("] ").map_or(name, |(_, instruction)| instruction));
    let mut lines = dockerfile.lines().zip(1..);
    while let Some((line, first)) = lines.next() {
        let (mut line, mut last) = (line.trim(), first);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let mut instruction = String::new();
        while let Some(continued) = line.strip_suffix('\\') {
            instruction.push_str(continued);
            instruction.push(' ');
            // Comments may stand between the lines of an instruction.
            let next = lines.by_ref().find(|(next, _)| !next.trim_start().starts_with('#'));
            let Some((next, number)) = next else { break };
            (line, last) = (next.trim(), number);
        }
        instruction.push_str(line);
        // The engine writes the instruction's own word in capitals.
        if squeezed(&instruction).eq_ignore_ascii_case(&wanted) {
            return Some(Lines { first, last });
        }
    }
    None
}

/// The lines and a few around them, numbered, themselves marked.
pub(super) fn around(dockerfile: &str, marked: Lines) -> String {
    let mut text = String::new();
    let shown = marked.first.saturating_sub(AROUND)..=marked.last + AROUND;
    for (content, number) in dockerfile.lines().zip(1..).filter(|(_, number)| shown.contains(number)) {
        let mark = if (marked.first..=marked.last).contains(&number) { '>' } else { ' ' };
        writeln!(text, "{mark} {number:>4} | {content}").expect("invariant: writing to a string cannot fail");
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

    fn lines(first: usize, last: usize) -> Lines {
        Lines { first, last }
    }

    #[test]
    fn the_failing_instruction_is_found() {
        assert_eq!(of_step(DOCKERFILE, "[2/4] RUN a &&     b"), Some(lines(3, 5)));
        assert_eq!(of_step(DOCKERFILE, "[stage 3/4] COPY . /x"), Some(lines(7, 7)));
        assert_eq!(of_step(DOCKERFILE, "[4/4] RUN c   d"), Some(lines(8, 8)));
        assert_eq!(of_step(DOCKERFILE, "[4/4] RUN something else"), None);
        assert_eq!(of_step("RUN a \\", "[1/1] RUN a"), None);
    }

    #[test]
    fn the_lines_are_marked() {
        assert_eq!(named_in("dockerfile parse error on line 7: unknown instruction"), Some(lines(7, 7)));
        assert_eq!(named_in("dockerfile parse error line 12: unknown"), Some(lines(12, 12)));
        assert_eq!(named_in("no such file"), None);
        insta::assert_snapshot!(around(DOCKERFILE, lines(7, 7)), @r"
             5 |     b
             6 | 
        >    7 | COPY . /x
             8 | run c   d
        ");
        assert_eq!(around(DOCKERFILE, lines(3, 5)).matches("> ").count(), 3);
        assert_eq!(around(DOCKERFILE, lines(1, 1)).lines().count(), 3);
        assert_eq!(around(DOCKERFILE, lines(99, 99)), "");
    }
}
