//! The lines of one process: files of about 1,500 lines, of which the newest are kept.
//!
//! A file is named after the number of its first line. All of this blocks.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::{Line, record};

/// Lines after which a file is full.
const LINES: usize = 1_500;
/// Files of one process: who follows a process that writes a thousand lines a second may be away for a quarter of a
/// minute, as the server is when it restarts.
const FILES: usize = 12;
/// Files of one process that are the last to go: with the newest and the full one before it, 1,500 lines can always be
/// read.
pub(super) const LAST_FILES: usize = 2;

#[derive(Debug)]
pub(super) struct Ring {
    folder: PathBuf,
    segments: VecDeque<Segment>,
    /// The newest file, while somebody writes to it.
    file: Option<File>,
    /// Lines in the newest file.
    lines: usize,
    /// When its newest line was written, and where its reader stood.
    pub(super) newest: Timestamp,
    pub(super) cursor: String,
    /// Whether older lines than those that are kept were here.
    pub(super) cut: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) first: i64,
    pub(super) bytes: u64,
    pub(super) path: PathBuf,
}

impl Ring {
    pub(super) fn empty(folder: PathBuf) -> Self {
        Self {
            folder,
            segments: VecDeque::new(),
            file: None,
            lines: 0,
            newest: Timestamp::UNIX_EPOCH,
            cursor: String::new(),
            cut: false,
        }
    }

    /// Reads what is there; a last line that was cut off is taken away. The last number too, if there is one.
    pub(super) fn load(folder: PathBuf) -> io::Result<(Self, Option<i64>)> {
        let mut ring = Self::empty(folder);
        let mut found: Vec<Segment> = Vec::new();
        for entry in fs::read_dir(&ring.folder)? {
            let (entry, path) = entry.map(|entry| (entry.metadata(), entry.path()))?;
            let first = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
            found.extend(first.map(|first| Segment {
                first,
                bytes: entry.map_or(0, |file| file.len()),
                path,
            }));
        }
        found.sort_by_key(|segment| segment.first);
        ring.cut = found.len() >= FILES;
        ring.segments = found.into();
        let mut last = None;
        if let Some(segment) = ring.segments.back_mut() {
            let text = whole_lines(segment)?;
            ring.lines = text.lines().count();
            let newest = text.lines().rev().find_map(record::parse);
            // Of an empty file only the number in its name is known, which was not used.
            last = newest.as_ref().map(|line| line.id).or(Some(segment.first - 1));
            ring.newest = newest.map_or(ring.newest, |line| line.entry.at);
            let stood =
                text.lines().rev().filter_map(record::parse).find(|line| !line.entry.cursor.is_empty());
            ring.cursor = stood.map(|line| line.entry.cursor).unwrap_or_default();
        }
        Ok((ring, last))
    }

    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Adds text of `lines` whole lines, the first of which has the number `first`.
    pub(super) fn append(&mut self, first: i64, lines: usize, text: &str) -> io::Result<()> {
        if self.segments.is_empty() || self.lines >= LINES {
            self.begin_segment(first)?;
        }
        let segment = self.segments.back_mut().expect("invariant: a segment was just begun");
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(open(&segment.path)?),
        };
        match file.write_all(text.as_bytes()) {
            Ok(()) => {
                segment.bytes += text.len() as u64;
                self.lines += lines;
                Ok(())
            }
            Err(error) => {
                // Half a line would swallow the one after it.
                drop(file.set_len(segment.bytes));
                self.file = None;
                Err(error)
            }
        }
    }

    fn begin_segment(&mut self, first: i64) -> io::Result<()> {
        if self.segments.is_empty() {
            fs::create_dir_all(&self.folder)?;
        }
        let path = self.folder.join(format!("{first:020}.log"));
        self.file = Some(open(&path)?);
        self.lines = 0;
        self.segments.push_back(Segment { first, bytes: 0, path });
        while self.segments.len() > FILES {
            self.drop_oldest();
        }
        Ok(())
    }

    /// Takes the oldest file away.
    pub(super) fn drop_oldest(&mut self) {
        let Some(segment) = self.segments.pop_front() else { return };
        self.cut = true;
        if let Err(error) = fs::remove_file(&segment.path) {
            tracing::debug!(file = %segment.path.display(), "An old piece of a log could not be removed: {error}");
        }
        if self.segments.is_empty() {
            self.file = None;
            self.lines = 0;
            drop(fs::remove_dir(&self.folder));
        }
    }

    /// The number of its oldest line; `None` if it has none.
    pub(super) fn oldest(&self) -> Option<i64> {
        self.segments.front().map(|segment| segment.first)
    }

    pub(super) fn pieces(&self) -> usize {
        self.segments.len()
    }

    /// Nobody writes to it for now.
    pub(super) fn rest(&mut self) {
        self.file = None;
    }

    /// The newest files, which hold 1,500 lines if so many were written.
    pub(super) fn last_files(&self) -> Vec<Segment> {
        let skip = self.segments.len().saturating_sub(LAST_FILES);
        self.segments.iter().skip(skip).cloned().collect()
    }

    /// The files that may hold lines after `id`.
    pub(super) fn files_after(&self, id: i64) -> Vec<Segment> {
        let next = self.segments.iter().skip(1).map(|segment| Some(segment.first)).chain([None]);
        let holds = self.segments.iter().zip(next);
        holds
            .filter(|(_, next)| next.is_none_or(|next| next > id + 1))
            .map(|(segment, _)| segment.clone())
            .collect()
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

/// The file's text, up to the end of its last whole line; the rest is cut off the file too.
fn whole_lines(segment: &mut Segment) -> io::Result<String> {
    let text = String::from_utf8_lossy(&fs::read(&segment.path)?).into_owned();
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    if whole < text.len() {
        OpenOptions::new().write(true).open(&segment.path)?.set_len(whole as u64)?;
        segment.bytes = whole as u64;
    }
    Ok(text[..whole].to_owned())
}

/// The lines of files, oldest file first; what was removed meanwhile is passed over.
pub(super) fn read(segments: &[Segment], mut wanted: impl FnMut(&str) -> Option<Line>) -> Vec<Line> {
    let mut lines = Vec::new();
    for segment in segments {
        match fs::read(&segment.path) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                // A line that is being written has no end yet; its reader is woken when it has.
                let whole = text.rfind('\n').map_or(0, |end| end + 1);
                lines.extend(text[..whole].lines().filter_map(&mut wanted));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => tracing::warn!(file = %segment.path.display(), "A log could not be read: {error}"),
        }
    }
    lines
}
