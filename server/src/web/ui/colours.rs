//! Lines of a log as pieces of text with classes: the colours of terminals, and nothing else of what they obey.

use serde::Serialize;

/// A piece of a line that looks the same all through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Piece {
    /// Of the style sheet: `f1 b` is bold red. Fixed words only.
    pub(super) class: String,
    pub(super) text: String,
}

/// A line and where it begins, in bytes of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    pub(super) at: i64,
    pub(super) pieces: Vec<Piece>,
}

/// The whole lines of `text`, which begins at byte `at` of the log. Each line begins without colours, so that it looks
/// the same from wherever the log is read.
pub(super) fn lines(text: &[u8], mut at: i64) -> Vec<Line> {
    let mut lines = Vec::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let shown = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line));
        lines.push(Line { at, pieces: pieces(&shown) });
        at += i64::try_from(line.len()).unwrap_or(0);
    }
    lines
}

/// A line's text without its colours.
pub(super) fn plain(line: &str) -> String {
    pieces(line).into_iter().map(|piece| piece.text).collect()
}

fn pieces(line: &str) -> Vec<Piece> {
    let mut look = Look::default();
    let mut pieces: Vec<Piece> = Vec::new();
    for (number, part) in line.split("\u{1b}[").enumerate() {
        // What stands before the first escape has no codes.
        let (codes, text) = match part.split_once('m') {
            Some((codes, text)) if number > 0 && is_codes(codes) => (Some(codes), text),
            _ => (None, part),
        };
        if let Some(codes) = codes {
            look.obey(codes);
        }
        let text: String = text.chars().filter(|c| !c.is_control() || *c == '\t').collect();
        if text.is_empty() {
            continue;
        }
        let class = look.class();
        match pieces.last_mut().filter(|last| last.class == class) {
            Some(last) => last.text.push_str(&text),
            None => pieces.push(Piece { class, text }),
        }
    }
    pieces
}

fn is_codes(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || byte == b';' || byte == b':')
}

/// How text looks: what `SGR` sequences have asked for.
#[derive(Debug, Clone, Copy, Default)]
struct Look {
    front: Option<u8>,
    back: Option<u8>,
    bold: bool,
    dim: bool,
    italic: bool,
    underlined: bool,
}

impl Look {
    fn obey(&mut self, codes: &str) {
        let mut codes = codes.split([';', ':']).map(|code| code.parse::<u16>().unwrap_or(0));
        while let Some(code) = codes.next() {
            match code {
                0 => *self = Self::default(),
                1 => self.bold = true,
                2 => self.dim = true,
                3 => self.italic = true,
                4 => self.underlined = true,
                22 => (self.bold, self.dim) = (false, false),
                23 => self.italic = false,
                24 => self.underlined = false,
                30..=37 => self.front = colour(code - 30),
                38 => self.front = wide(&mut codes),
                39 => self.front = None,
                40..=47 => self.back = colour(code - 40),
                48 => self.back = wide(&mut codes),
                49 => self.back = None,
                90..=97 => self.front = colour(code - 90 + 8),
                100..=107 => self.back = colour(code - 100 + 8),
                _ => {}
            }
        }
    }

    fn class(self) -> String {
        let mut words = Vec::new();
        words.extend(self.front.map(|colour| format!("f{colour}")));
        words.extend(self.back.map(|colour| format!("k{colour}")));
        let flags = [(self.bold, "b"), (self.dim, "d"), (self.italic, "i"), (self.underlined, "u")];
        words.extend(flags.into_iter().filter(|(on, _)| *on).map(|(_, word)| word.to_owned()));
        words.join(" ")
    }
}

/// One of a terminal's sixteen.
fn colour(code: u16) -> Option<u8> {
    u8::try_from(code).ok().filter(|code| *code < 16)
}

/// Of 256 colours the first sixteen are the usual ones; others are passed over, as are those of three numbers.
fn wide(codes: &mut impl Iterator<Item = u16>) -> Option<u8> {
    match codes.next() {
        Some(5) => codes.next().and_then(colour),
        Some(2) => {
            codes.by_ref().take(3).for_each(drop);
            None
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(line: &str) -> Vec<(String, String)> {
        pieces(line).into_iter().map(|piece| (piece.class, piece.text)).collect()
    }

    fn expected(pieces: &[(&str, &str)]) -> Vec<(String, String)> {
        pieces.iter().map(|(class, text)| ((*class).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn colours_become_classes() {
        assert_eq!(
            looks("plain \u{1b}[1;31mred\u{1b}[0m \u{1b}[92mok\u{1b}[39m end"),
            expected(&[("", "plain "), ("f1 b", "red"), ("", " "), ("f10", "ok"), ("", " end")])
        );
        assert_eq!(looks("\u{1b}[38;5;3;44ma\u{1b}[38;2;1;2;3mb"), expected(&[("f3 k4", "a"), ("k4", "b")]));
        assert_eq!(looks("\u{1b}[me"), expected(&[("", "e")]));
    }

    #[test]
    fn what_is_no_colour_is_text_without_controls() {
        assert_eq!(looks("1m<b>\u{1b}[2Jx\u{7}"), expected(&[("", "1m<b>2Jx")]));
        assert_eq!(looks("31m first"), expected(&[("", "31m first")]));
        assert_eq!(looks(""), expected(&[]));
    }

    #[test]
    fn lines_know_where_they_begin_and_begin_plain() {
        let read = lines("\u{1b}[31mä\nb\n".as_bytes(), 100);
        assert_eq!((read[0].at, read[1].at), (100, 108));
        assert_eq!(read[1].pieces, [Piece { class: String::new(), text: "b".to_owned() }]);
    }

    proptest::proptest! {
        #[test]
        fn classes_are_ours_whatever_a_log_says(text: String) {
            for piece in pieces(&format!("\u{1b}[{text}")) {
                let ours = piece.class.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == ' ');
                proptest::prop_assert!(ours, "{:?}", piece);
                let escaped = piece.text.contains('\u{1b}');
                proptest::prop_assert!(!escaped);
            }
        }
    }
}
