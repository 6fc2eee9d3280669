//! The formation: how many processes of each type run, and of which size. What people may ask of it. Pure.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::names::ProcessType;

/// Processes of one type at most.
pub(crate) const MOST_PROCESSES: u32 = 1000;

/// Every type of an app that has been released once.
pub(crate) type Formation = BTreeMap<ProcessType, Scaling>;

/// What is kept of one process type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Scaling {
    pub(crate) quantity: u32,
    /// `None` is the usual size.
    pub(crate) size: Option<String>,
    pub(crate) autoscale: Option<Autoscale>,
    /// Grows with each quantity that somebody asks for.
    pub(crate) asked: i64,
}

impl Scaling {
    /// A type that is named for the first time: web begins, all others wait to be scaled.
    pub(crate) fn at_first(name: &ProcessType) -> Self {
        Self { quantity: u32::from(name.is_web()), size: None, autoscale: None, asked: 0 }
    }
}

/// What the formation says of a type, also of one that it does not know yet.
pub(crate) fn scaling_of(formation: &Formation, name: &ProcessType) -> Scaling {
    formation.get(name).cloned().unwrap_or_else(|| Scaling::at_first(name))
}

/// Bounds within which an autoscaler chooses the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Autoscale {
    pub(crate) min: u32,
    pub(crate) max: u32,
    /// How much of its CPUs a process is to use on average, in percent.
    pub(crate) cpu: u32,
}

impl Autoscale {
    /// Why these bounds make no sense; the text is for the user.
    pub(crate) fn fault(&self) -> Option<String> {
        if self.min == 0 || self.min > self.max || self.max > MOST_PROCESSES {
            return Some(format!(
                "from {} to {} processes is no range: the least is 1, the most {MOST_PROCESSES}, and the minimum is not \
                 above the maximum",
                self.min, self.max
            ));
        }
        (!(1..=100).contains(&self.cpu))
            .then(|| format!("{} is no percentage of CPU: write a number from 1 to 100", self.cpu))
    }
}

/// Which processes of an app are meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Which {
    All,
    Type(ProcessType),
    /// One process, by the name that `ps` shows.
    Named(String),
}

impl Which {
    pub(crate) fn covers(&self, process_type: &ProcessType, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Type(wanted) => wanted == process_type,
            Self::Named(wanted) => wanted == name,
        }
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all processes"),
            Self::Type(name) => name.fmt(f),
            Self::Named(name) => f.write_str(name),
        }
    }
}

/// A number and a size for one type; what is `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Count {
    pub(crate) quantity: Option<u32>,
    pub(crate) size: Option<String>,
}

/// What somebody asks of an app's processes. It is stored until it is done, so old forms of it have to stay readable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Wish {
    Scale(BTreeMap<ProcessType, Count>),
    Autoscale {
        process_type: ProcessType,
        autoscale: Autoscale,
    },
    /// No autoscaler any more; so many ran when it was asked.
    StopAutoscaling {
        process_type: ProcessType,
        quantity: u32,
    },
    Restart(Which),
    /// One process ends and is not replaced.
    Stop {
        process_type: ProcessType,
        name: String,
        /// How many are left.
        quantity: u32,
    },
}

/// How far a wish is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
#[sqlx(type_name = "text", rename_all = "lowercase")]
pub(crate) enum ChangeStatus {
    Pending,
    Succeeded,
    Failed,
}

impl ChangeStatus {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }
}

/// The name of the size that has no name of its own in the settings.
pub(crate) const USUAL_SIZE: &str = "standard";

impl Wish {
    /// The formation once the wish is done; `now` is later than all that was asked before.
    pub(crate) fn apply(&self, before: &Formation, now: i64) -> Formation {
        let mut after = before.clone();
        let entry = |name: &ProcessType| {
            let scaling = scaling_of(before, name);
            let asked = now.max(scaling.asked + 1);
            (scaling, asked)
        };
        match self {
            Self::Restart(_) => {}
            Self::Scale(types) => {
                for (name, count) in types {
                    let (mut scaling, asked) = entry(name);
                    if let Some(quantity) = count.quantity {
                        (scaling.quantity, scaling.asked) = (quantity, asked);
                    }
                    if let Some(size) = &count.size {
                        scaling.size = (size != USUAL_SIZE).then(|| size.clone());
                    }
                    after.insert(name.clone(), scaling);
                }
            }
            Self::Autoscale { process_type, autoscale } => {
                let (scaling, _) = entry(process_type);
                after.insert(process_type.clone(), Scaling { autoscale: Some(*autoscale), ..scaling });
            }
            // Not asked anew: the number that the autoscaler chose stays, here it is only written down.
            Self::StopAutoscaling { process_type, quantity } => {
                let (scaling, _) = entry(process_type);
                let scaling = Scaling { autoscale: None, quantity: *quantity, ..scaling };
                after.insert(process_type.clone(), scaling);
            }
            Self::Stop { process_type, quantity, .. } => {
                let (scaling, asked) = entry(process_type);
                after.insert(process_type.clone(), Scaling { quantity: *quantity, asked, ..scaling });
            }
        }
        after
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ProcessType {
        text.parse().expect("a process type")
    }

    fn scale(text: &str, quantity: Option<u32>, size: Option<&str>) -> Wish {
        Wish::Scale([(name(text), Count { quantity, size: size.map(str::to_owned) })].into())
    }

    #[test]
    fn a_type_that_is_new_starts_at_zero_except_web() {
        assert_eq!(scaling_of(&Formation::new(), &name("web")).quantity, 1);
        assert_eq!(scaling_of(&Formation::new(), &name("worker")).quantity, 0);
    }

    #[test]
    fn a_quantity_keeps_the_size_and_a_size_keeps_the_quantity() {
        let large = scale("web", Some(2), Some("large")).apply(&Formation::new(), 7);
        let web = &large[&name("web")];
        assert_eq!((web.quantity, web.size.as_deref(), web.asked), (2, Some("large"), 7));
        let three = scale("web", Some(3), None).apply(&large, 8);
        assert_eq!((three[&name("web")].quantity, three[&name("web")].size.as_deref()), (3, Some("large")));
        let usual = scale("web", None, Some("standard")).apply(&three, 9);
        let web = &usual[&name("web")];
        assert_eq!((web.quantity, web.size.as_deref(), web.asked), (3, None, 8), "no number was asked for");
    }

    #[test]
    fn a_later_wish_counts_even_where_the_clock_went_back() {
        let first = scale("web", Some(2), None).apply(&Formation::new(), 100);
        let second = scale("web", Some(2), None).apply(&first, 50);
        assert_eq!(second[&name("web")].asked, 101);
    }

    #[test]
    fn autoscaling_changes_no_number_and_its_end_keeps_what_runs() {
        let autoscale = Autoscale { min: 2, max: 5, cpu: 70 };
        let begun = Wish::Autoscale { process_type: name("web"), autoscale }.apply(&Formation::new(), 5);
        let web = &begun[&name("web")];
        assert_eq!((web.quantity, web.autoscale, web.asked), (1, Some(autoscale), 0));
        let ended = Wish::StopAutoscaling { process_type: name("web"), quantity: 4 }.apply(&begun, 6);
        let web = &ended[&name("web")];
        assert_eq!((web.quantity, web.autoscale, web.asked), (4, None, 0));
    }

    #[test]
    fn bounds_that_make_no_sense_are_refused() {
        let fault = |min, max, cpu| Autoscale { min, max, cpu }.fault();
        assert_eq!(fault(1, 1, 100), None);
        for (min, max, cpu) in [(0, 2, 50), (3, 2, 50), (1, 1001, 50), (1, 2, 0), (1, 2, 101)] {
            assert!(fault(min, max, cpu).is_some(), "{min} {max} {cpu}");
        }
    }

    #[test]
    fn a_stored_wish_is_read_again() {
        let text = r#"{"scale":{"web":{"quantity":3,"size":null}}}"#;
        assert_eq!(serde_json::from_str::<Wish>(text).expect("a wish"), scale("web", Some(3), None));
        let text = r#"{"restart":{"named":"web.1"}}"#;
        let named = Wish::Restart(Which::Named("web.1".to_owned()));
        assert_eq!(serde_json::from_str::<Wish>(text).expect("a wish"), named);
    }
}
