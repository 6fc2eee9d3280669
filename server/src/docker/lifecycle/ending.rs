//! What a lifecycle said, and what its end means: whose fault it is.

use super::LifecycleError;
use super::phase::Phase;

/// 128 and SIGKILL: the kernel's answer to too much memory.
const KILLED: i64 = 137;

/// A longer line is cut; it holds nothing that we look for.
const LINE_LIMIT: usize = 4096;

/// The lifecycle's exit codes that mean something of their own.
mod code {
    pub(super) const NO_BUILDPACK: i64 = 20;
    pub(super) const DETECTION_FAILED: i64 = 21;
    pub(super) const BUILD_FAILED: i64 = 51;
}

/// How a container ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ending {
    pub(super) code: i64,
    /// The kernel killed something in it for want of memory.
    pub(super) out_of_memory: bool,
}

/// Listens for where the lifecycle is and what it complains of.
pub(super) struct Ear {
    program: &'static str,
    phase: Phase,
    complaint: Option<String>,
    line: Vec<u8>,
}

impl Ear {
    pub(super) fn new(phase: Phase) -> Self {
        Self { program: phase.program(), phase, complaint: None, line: Vec::new() }
    }

    pub(super) fn hear(&mut self, chunk: &[u8]) {
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_LIMIT.saturating_sub(self.line.len());
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.read(String::from_utf8_lossy(&line).trim_end());
            }
        }
    }

    fn read(&mut self, line: &str) {
        if let Some(complaint) = line.strip_prefix("ERROR: ") {
            self.complaint = Some(complaint.to_owned());
        }
        if let Some(phase) = line.strip_prefix("===> ").and_then(Phase::headed) {
            self.phase = phase;
        }
    }

    /// Sorts the end by fault.
    pub(super) fn judge(self, ending: &Ending, builder: &str, memory: u64) -> Result<(), LifecycleError> {
        let (builder, program, code) = (builder.to_owned(), self.program, ending.code);
        let words = self.complaint.unwrap_or_else(|| "it gave no reason".to_owned());
        Err(match (code, self.phase) {
            (0, _) => return Ok(()),
            _ if ending.out_of_memory || code == KILLED => {
                LifecycleError::Memory { builder, program, memory }
            }
            (code::NO_BUILDPACK, _) => LifecycleError::NoBuildpack(builder),
            (code::DETECTION_FAILED, _) => LifecycleError::DetectionFailed(builder),
            (code::BUILD_FAILED, _) => LifecycleError::BuildFailed(builder),
            (_, Phase::Analyze | Phase::Restore | Phase::Export) => {
                LifecycleError::Registry { builder, program, code, words }
            }
            (_, Phase::Create | Phase::Detect | Phase::Build) => {
                LifecycleError::Lifecycle { builder, program, code, words }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::Fault;
    use super::*;

    fn end(phase: Phase, said: &[&str], code: i64) -> LifecycleError {
        let mut ear = Ear::new(phase);
        for chunk in said {
            ear.hear(chunk.as_bytes());
        }
        ear.judge(&Ending { code, out_of_memory: false }, "b", 1 << 30).unwrap_err()
    }

    #[test]
    fn the_users_faults_are_told_from_ours() {
        let users = |phase, code| {
            let error = end(phase, &[], code);
            assert_eq!(error.fault(), Fault::Users, "{error}");
            error.to_string()
        };
        assert!(users(Phase::Detect, 20).starts_with("no buildpack of b knows this app"));
        assert!(users(Phase::Create, 21).starts_with("no buildpack of b took this app"));
        assert!(users(Phase::Build, 51).starts_with("a buildpack of b failed to build the app"));
        assert_eq!(
            users(Phase::Build, 137),
            "the builder of b was killed, most often because its memory of 1.0 GiB was not enough; build with less \
             at once, or have SLIPWAY_LIFECYCLE_MEMORY raised"
        );
        for phase in [Phase::Analyze, Phase::Restore, Phase::Export] {
            assert_eq!(end(phase, &[], 1).fault(), Fault::Ours);
        }
    }

    #[test]
    fn a_creator_is_judged_by_the_phase_that_it_was_in_and_quoted() {
        let said = [
            "===> ANALYZING\n===> DETEC",
            "TING\n===> BUILDING\n",
            "===> EXPOR",
            "TING\nERROR: fail",
            "ed to\n",
        ];
        let error = end(Phase::Create, &said, 62);
        assert_eq!(
            error.to_string(),
            "the creator of b stopped with exit code 62 while it worked with the registry: failed to"
        );
        let error = end(Phase::Create, &said[..2], 52);
        assert_eq!(error.to_string(), "the creator of b stopped with exit code 52: it gave no reason");
    }

    #[test]
    fn memory_that_ran_out_explains_any_code() {
        let ending = Ending { code: 51, out_of_memory: true };
        let error = Ear::new(Phase::Build).judge(&ending, "b", 1).unwrap_err();
        assert!(matches!(error, LifecycleError::Memory { .. }), "{error}");
        let ending = Ending { code: 0, out_of_memory: true };
        assert!(Ear::new(Phase::Build).judge(&ending, "b", 1).is_ok());
    }

    #[test]
    fn an_endless_line_is_cut() {
        let mut ear = Ear::new(Phase::Create);
        for _ in 0..100 {
            ear.hear(&[b'x'; 1000]);
        }
        assert!(ear.line.len() <= LINE_LIMIT);
    }
}
