//! How long records gather in the ring before it is emptied. Pure.
//!
//! Emptying the ring at every wake costs ten times the processor time and slows the machine's own
//! work by a third. While much happens it is not even waited for: the ring is emptied at its times,
//! the longer apart the cheaper, as long as a storm fits it several times.

use std::time::Duration;

/// While much happens.
const BUSY: Duration = Duration::from_millis(60);

/// So many records in one emptying are much.
const MUCH: usize = 12;

/// So many, a quarter of the smallest usual ring, are a storm, which is emptied often.
const STORM: usize = 512;

/// When the ring is emptied next.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Gather {
    /// When something is in it.
    #[default]
    WhenReady,
    /// After this time, whatever is in it.
    After(Duration),
}

impl Gather {
    /// After the first record of a quiet moment.
    pub(super) const QUIET: Duration = Duration::from_millis(20);

    /// Something is in the ring.
    pub(super) fn ready() -> Self {
        Self::After(Self::QUIET)
    }

    /// So many records were in it.
    pub(super) fn emptied(records: usize) -> Self {
        match records {
            0..MUCH => Self::WhenReady,
            MUCH..STORM => Self::After(BUSY),
            STORM.. => Self::After(Self::QUIET),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn much_is_gathered_for_longer_and_a_storm_is_not() {
        assert_eq!(Gather::emptied(0), Gather::WhenReady);
        assert_eq!(Gather::emptied(11), Gather::WhenReady);
        assert_eq!(Gather::emptied(12), Gather::After(BUSY));
        assert_eq!(Gather::emptied(511), Gather::After(BUSY));
        assert_eq!(Gather::emptied(512), Gather::After(Gather::QUIET));
    }
}
