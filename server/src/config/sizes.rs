//! The table of sizes, as one setting writes it: `small=0.5:256MiB,large=2:2GiB/1:1GiB`.

use std::collections::BTreeMap;
use std::fmt;

use bytesize::ByteSize;

use super::{ProcessSettings, value};
use crate::domain::formation::USUAL_SIZE;
use crate::domain::names::ProcessType;
use crate::target::Limits;

/// What a process of one size may use.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Size {
    pub(crate) limits: Limits,
    /// What a cluster sets aside for it; `None` leaves that to the cluster's own rule.
    pub(crate) reserved: Option<Limits>,
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpus = f64::from(self.limits.millicpu.unwrap_or_default()) / 1000.0;
        write!(f, "{cpus} CPU, {} memory", ByteSize(self.limits.memory.unwrap_or_default()))
    }
}

/// Sizes by their names, without the usual one.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Sizes(BTreeMap<String, Size>);

impl Sizes {
    pub(crate) fn named(&self, name: &str) -> Option<&Size> {
        self.0.get(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Size)> {
        self.0.iter()
    }
}

impl ProcessSettings {
    /// The size of that name; `None` is the usual one. The error names what there is, for the user.
    pub(crate) fn size(&self, name: Option<&str>) -> Result<Size, String> {
        match name {
            None | Some(USUAL_SIZE) => Ok(self.usual()),
            Some(name) => self.sizes.named(name).cloned().ok_or_else(|| {
                let others = self.sizes.iter().map(|(name, size)| format!(", {name} ({size})"));
                let others: String = others.collect();
                format!(
                    "there is no size `{name}`: this platform has {USUAL_SIZE} ({}){others}",
                    self.usual()
                )
            }),
        }
    }

    pub(crate) fn usual(&self) -> Size {
        Size { limits: Limits { memory: Some(self.memory), millicpu: Some(self.millicpu) }, reserved: None }
    }
}

pub(super) fn parse(text: &str) -> Result<Sizes, String> {
    let mut sizes = BTreeMap::new();
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        let (name, amounts) = entry.split_once('=').ok_or_else(|| expected(entry))?;
        if name.parse::<ProcessType>().is_err() {
            return Err(format!(
                "`{name}` is no name of a size: write lower-case letters, digits and dashes"
            ));
        }
        if name == USUAL_SIZE {
            return Err(format!(
                "the size `{USUAL_SIZE}` is what SLIPWAY_PROCESS_CPUS and SLIPWAY_PROCESS_MEMORY say: set those"
            ));
        }
        let (limits, reserved) = match amounts.split_once('/') {
            None => (pair(entry, amounts)?, None),
            Some((limits, reserved)) => (pair(entry, limits)?, Some(pair(entry, reserved)?)),
        };
        if reserved.as_ref().is_some_and(|reserved| is_more(reserved, &limits)) {
            return Err(format!("`{entry}` sets more aside than a process of it may use"));
        }
        if sizes.insert(name.to_owned(), Size { limits, reserved }).is_some() {
            return Err(format!("the size `{name}` stands there twice: keep one"));
        }
    }
    Ok(Sizes(sizes))
}

fn pair(entry: &str, text: &str) -> Result<Limits, String> {
    let (cpus, memory) = text.split_once(':').ok_or_else(|| expected(entry))?;
    Ok(Limits {
        millicpu: Some(value::millicpu(cpus.trim_end_matches("cpu"))?),
        memory: Some(value::bytes(memory).and_then(whole)?),
    })
}

/// The engine and the kubelet refuse what no process can start in.
fn whole(bytes: u64) -> Result<u64, String> {
    const LEAST: u64 = 6 << 20;
    if bytes < LEAST { Err("a process needs 6 MiB of memory at least".to_owned()) } else { Ok(bytes) }
}

fn is_more(reserved: &Limits, limits: &Limits) -> bool {
    reserved.millicpu > limits.millicpu || reserved.memory > limits.memory
}

fn expected(entry: &str) -> String {
    format!("`{entry}` is no size: write name=CPUs:memory, such as large=2:2GiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(millicpu: u32, mebibytes: u64) -> Limits {
        Limits { millicpu: Some(millicpu), memory: Some(mebibytes << 20) }
    }

    #[test]
    fn a_table_of_sizes_is_read() {
        let sizes = parse("small=0.25cpu:256MiB, large=2:2GiB/1:1GiB").expect("a table");
        let small = sizes.named("small").expect("is there");
        assert_eq!((&small.limits, &small.reserved), (&limits(250, 256), &None));
        let large = sizes.named("large").expect("is there");
        assert_eq!((&large.limits, &large.reserved), (&limits(2000, 2048), &Some(limits(1000, 1024))));
        assert_eq!(parse("").expect("no sizes"), Sizes::default());
    }

    #[test]
    fn what_is_no_size_is_told_with_what_would_be_one() {
        for (text, words) in [
            ("large", "name=CPUs:memory"),
            ("large=2", "name=CPUs:memory"),
            ("Large=2:2GiB", "lower-case"),
            ("standard=2:2GiB", "SLIPWAY_PROCESS_CPUS"),
            ("a=1:1GiB,a=2:1GiB", "twice"),
            ("a=none:1GiB", "write CPUs"),
            ("a=1:1kB", "6 MiB"),
            ("a=1:1GiB/2:1GiB", "more aside"),
        ] {
            let refusal = parse(text).expect_err(text);
            assert!(refusal.contains(words), "{text}: {refusal}");
        }
    }

    #[test]
    fn a_size_that_is_not_there_is_answered_with_those_that_are() {
        let processes = crate::config::tests::serve(&["--sizes=large=2:2GiB"]).processes;
        assert_eq!(processes.size(Some("large")).expect("is there").limits, limits(2000, 2048));
        assert_eq!(
            processes.size(None).expect("is there"),
            processes.size(Some("standard")).expect("is there")
        );
        let refusal = processes.size(Some("huge")).expect_err("is not there");
        assert!(refusal.contains("standard (1 CPU, 512") && refusal.contains("large (2 CPU, 2"), "{refusal}");
    }
}
