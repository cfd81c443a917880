//! What is in the way of an object's parts, as a condition tells it.

use crate::build::meta::Holder;

/// Why not all parts are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Hindrance {
    /// An earlier object's child of that name is being collected.
    Collecting(String),
    /// Somebody else has an object of that name.
    Taken(String),
    /// A sink's control document is gone, and not all workers say which one they obey.
    Unowned(String),
    /// The API server refuses it: a quota, an admission policy, or what the document made of it.
    Refused { forbidden: bool, words: String },
}

impl Hindrance {
    /// None where `what` is our own.
    pub(crate) fn of(holder: Holder, what: &str) -> Option<Self> {
        match holder {
            Holder::Ours => None,
            Holder::Earlier => Some(Self::Collecting(format!("an earlier {what} is being deleted"))),
            Holder::Other(whose) => {
                Some(Self::Taken(format!("{what} exists and is {whose}: rename this object, or remove that one")))
            }
        }
    }

    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::Collecting(_) => "Collecting",
            Self::Taken(_) => "NameTaken",
            Self::Unowned(_) => "OwnershipUnknown",
            Self::Refused { forbidden: true, words } if is_quota(words) => "QuotaExceeded",
            Self::Refused { forbidden: true, .. } => "PodForbidden",
            Self::Refused { forbidden: false, .. } => "Refused",
        }
    }

    pub(crate) fn message(&self) -> &str {
        match self {
            Self::Collecting(text) | Self::Taken(text) | Self::Unowned(text) | Self::Refused { words: text, .. } => {
                text
            }
        }
    }
}

/// The second is said where the quota counts what an object leaves out: `failed quota: few: must specify limits.cpu`.
pub(crate) fn is_quota(words: &str) -> bool {
    words.contains("exceeded quota") || words.contains("failed quota")
}
