//! Output of foreign programs as text that a terminal may show: whole lines, colours kept, everything else dropped.
//!
//! Invariant: what leaves here is UTF-8 in which the only control characters are newline, tab and SGR sequences
//! (`ESC [ … m`). A program's cursor tricks cannot reach the pusher's terminal (CVE-2024-52005) nor the web page.

use vte::{Params, Parser, Perform};

/// A line longer than this is broken, in bytes.
const LONGEST_LINE: usize = 16 * 1024;

/// Turns chunks into whole lines.
#[derive(Default)]
pub(crate) struct Sanitiser {
    parser: Parser,
    page: Page,
}

#[derive(Default)]
struct Page {
    finished: String,
    line: String,
    /// A carriage return came: the next printed character begins the line anew, as a progress bar means it.
    rewind: bool,
}

impl Sanitiser {
    /// Takes any bytes; gives back the lines that are complete now.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> String {
        self.parser.advance(&mut self.page, bytes);
        std::mem::take(&mut self.page.finished)
    }

    /// The last line, if it had no newline.
    pub(crate) fn finish(&mut self) -> String {
        if !self.page.line.is_empty() {
            self.page.end_line();
        }
        std::mem::take(&mut self.page.finished)
    }
}

impl Page {
    fn end_line(&mut self) {
        self.finished.push_str(&self.line);
        self.finished.push('\n');
        self.line.clear();
        self.rewind = false;
    }

    fn begin_anew_after_carriage_return(&mut self) {
        if self.rewind {
            self.line.clear();
            self.rewind = false;
        }
    }
}

impl Perform for Page {
    fn print(&mut self, c: char) {
        self.begin_anew_after_carriage_return();
        // C1 controls come as characters in UTF-8; terminals may still obey them.
        if !c.is_control() {
            self.line.push(c);
        }
        if self.line.len() >= LONGEST_LINE {
            self.end_line();
        }
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\n' => self.end_line(),
            b'\r' => self.rewind = true,
            b'\t' => {
                self.begin_anew_after_carriage_return();
                self.line.push('\t');
            }
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: char) {
        if action != 'm' || ignore || !intermediates.is_empty() {
            return;
        }
        let codes: Vec<String> =
            params.iter().map(|code| code.iter().map(u16::to_string).collect::<Vec<_>>().join(":")).collect();
        self.line.push_str("\u{1b}[");
        self.line.push_str(&codes.join(";"));
        self.line.push('m');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(chunks: &[&[u8]]) -> String {
        let mut sanitiser = Sanitiser::default();
        let mut text: String = chunks.iter().map(|chunk| sanitiser.feed(chunk)).collect();
        text.push_str(&sanitiser.finish());
        text
    }

    #[test]
    fn colours_stay_and_all_other_sequences_go() {
        let hostile = b"\x1b[1;31mred\x1b[0m \x1b[2J\x1b]0;title\x07\x1b]52;c;ZXZpbA==\x1b\\\x1bP+q\x1b\\end\x9b31m\x00\n";
        // The lone byte 0x9b is CSI to some terminals; it goes, and what it would have introduced is text.
        assert_eq!(clean(&[hostile]), "\u{1b}[1;31mred\u{1b}[0m end31m\n");
    }

    #[test]
    fn a_progress_bar_leaves_its_last_state() {
        assert_eq!(clean(&[b"10%\r50%\r100%\r\nnext"]), "100%\nnext\n");
    }

    #[test]
    fn sequences_and_characters_may_be_cut_anywhere() {
        let whole = "a\u{1b}[32mgrün\u{1b}[0m\n".as_bytes();
        for cut in 0..whole.len() {
            assert_eq!(clean(&[&whole[..cut], &whole[cut..]]).as_bytes(), whole, "cut at {cut}");
        }
    }

    #[test]
    fn an_endless_line_is_broken() {
        let long = vec![b'x'; LONGEST_LINE * 2 + 1];
        assert_eq!(clean(&[&long]).lines().count(), 3);
    }

    proptest::proptest! {
        #[test]
        fn no_control_character_survives_but_newline_tab_and_sgr(bytes: Vec<u8>) {
            let text = clean(&[&bytes]);
            let mut rest = text.chars();
            while let Some(c) = rest.next() {
                if c == '\u{1b}' {
                    proptest::prop_assert_eq!(rest.next(), Some('['));
                    let end = rest.by_ref().find(|c| !(c.is_ascii_digit() || matches!(c, ';' | ':')));
                    proptest::prop_assert_eq!(end, Some('m'));
                } else {
                    proptest::prop_assert!(!c.is_control() || c == '\n' || c == '\t', "{:?}", c);
                }
            }
        }
    }
}
