//! Labels that the server itself adds to every series (`external_labels`, `extra_label`): samples are not lost for them.
//!
//! Only what all series of the run have alike is the server's. A label that one series has and another does not, or with another
//! value, makes it another series: perhaps a copy, stored a second time by somebody on the way.

use remote_write::Label;
use workload::is_own_label;

/// Most labels that are taken for the server's.
const MOST: usize = 32;
/// Most bytes of them that are told.
const TEXT: usize = 300;

/// What is known of the server's labels while series come in.
#[derive(Debug, Default)]
pub(super) struct Added {
    /// What all series so far have beyond their own labels; None before the first.
    pairs: Option<Vec<(Vec<u8>, Vec<u8>)>>,
    refuted: bool,
}

/// The labels that the workload may have made.
pub(super) fn own<'a>(labels: impl Iterator<Item = Label<'a>> + Clone) -> impl Iterator<Item = Label<'a>> + Clone {
    labels.filter(|label| is_own_label(label.name))
}

impl Added {
    /// Whether the labels, whose own ones are those of a series of the run, are only it and what the server adds to every one.
    pub(super) fn explains<'a>(&mut self, labels: impl Iterator<Item = Label<'a>> + Clone) -> bool {
        let more = labels.filter(|label| !is_own_label(label.name) && !label.value.is_empty());
        let count = more.clone().take(MOST + 1).count();
        if count > MOST {
            return false;
        }
        let Some(pairs) = &mut self.pairs else {
            self.pairs = Some(more.map(|label| (label.name.to_vec(), label.value.to_vec())).collect());
            return true;
        };
        let before = pairs.len();
        pairs.retain(|(name, value)| more.clone().any(|label| label.name == name && label.value == value));
        self.refuted |= pairs.len() < before;
        count == pairs.len()
    }

    /// Whether something was taken for the server's that is not, since this was last asked: then series were recognised that
    /// are none of the run's, and everything has to be read again.
    pub(super) fn refuted(&mut self) -> bool {
        std::mem::take(&mut self.refuted)
    }

    /// The labels for people; None when the server adds none.
    pub(super) fn text(&self) -> Option<String> {
        let pairs = self.pairs.as_ref().filter(|pairs| !pairs.is_empty())?;
        let all = pairs
            .iter()
            .map(|(name, value)| format!("{}={:?}", String::from_utf8_lossy(name), String::from_utf8_lossy(value)));
        let mut text = all.collect::<Vec<_>>().join(", ");
        if text.len() > TEXT {
            text.truncate(text.floor_char_boundary(TEXT));
            text.push('…');
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels<'a>(more: &'a [(&'a str, &'a str)]) -> impl Iterator<Item = Label<'a>> + Clone {
        let own = [("__name__", "m_1"), ("floodmark_run", "r"), ("job", "app"), ("label_03", "x"), ("series", "7")];
        let label = |(name, value): (&'a str, &'a str)| Label { name: name.as_bytes(), value: value.as_bytes() };
        own.into_iter().chain(more.iter().copied()).map(label)
    }

    #[test]
    fn what_every_series_has_is_the_servers() {
        let mut added = Added::default();
        assert_eq!(added.text(), None);
        let server = [("cluster", "x"), ("empty", ""), ("replica", "0")];
        for _ in 0..3 {
            assert!(added.explains(labels(&server)));
        }
        assert!(!added.refuted());
        assert_eq!(added.text().as_deref(), Some("cluster=\"x\", replica=\"0\""));
        assert_eq!(own(labels(&server)).count(), 5);
    }

    #[test]
    fn a_label_of_some_series_makes_them_others() {
        let mut added = Added::default();
        assert!(added.explains(labels(&[])));
        assert!(!added.explains(labels(&[("replica", "b")])));
        assert!(!added.refuted(), "nothing was taken for the run's that is not");
        assert_eq!(added.text(), None);
    }

    #[test]
    fn what_turns_out_to_differ_has_to_be_read_again() {
        let mut added = Added::default();
        // The copy comes first: its label looks like the server's until the series itself comes.
        assert!(added.explains(labels(&[("cluster", "x"), ("replica", "b")])));
        assert!(added.explains(labels(&[("cluster", "x")])));
        assert!(added.refuted());
        assert!(!added.explains(labels(&[("cluster", "x"), ("replica", "b")])));
        assert!(added.explains(labels(&[("cluster", "x")])));
        assert!(!added.refuted());
        // Another value is another label.
        assert!(!added.explains(labels(&[("cluster", "y")])));
        assert!(added.refuted());
        assert_eq!(added.text(), None);
    }

    #[test]
    fn a_flood_of_labels_is_nobodys_configuration() {
        let names: Vec<String> = (0..=MOST).map(|number| format!("x{number}")).collect();
        let many: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
        let mut added = Added::default();
        assert!(!added.explains(labels(&many)));
        assert!(added.explains(labels(&many[1..])));
        assert!(added.text().is_some_and(|text| text.ends_with('…') || text.len() < TEXT));
    }
}
