//! Which endpoints are in a share of all: for roll-outs that begin with a few.
//!
//! An endpoint's place follows from its id alone, so that nobody chooses who comes first, and a larger
//! share holds every endpoint of a smaller one.

use crate::id::EndpointId;
use crate::sign::sha256;

/// Whether an endpoint is among the first so many hundredths of all.
#[must_use]
pub fn in_share(endpoint: EndpointId, percent: u8) -> bool {
    place(endpoint) < u64::from(percent)
}

/// An endpoint's place, 0 to 99. The id is a hash already; hashing it again lets nobody who makes keys
/// until one pleases have it both ways.
fn place(endpoint: EndpointId) -> u64 {
    let hash = sha256(&[b"cordon/share/1".as_slice(), &endpoint.0].concat());
    let first = hash.first_chunk::<8>().copied().unwrap_or_default();
    u64::from_be_bytes(first) % 100
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints() -> impl Iterator<Item = EndpointId> {
        (0..10_000_u32).map(|number| EndpointId(sha256(&number.to_be_bytes())))
    }

    #[test]
    fn a_share_is_about_as_large_as_it_says() {
        for percent in [0_u8, 1, 10, 50, 99, 100] {
            let count = endpoints().filter(|one| in_share(*one, percent)).count();
            let expected = usize::from(percent) * 100;
            assert!(count.abs_diff(expected) <= 200, "{percent} %: {count} of 10,000");
        }
        assert_eq!(endpoints().filter(|one| in_share(*one, 100)).count(), 10_000);
        assert_eq!(endpoints().filter(|one| in_share(*one, 0)).count(), 0);
    }

    #[test]
    fn a_larger_share_holds_every_smaller_one() {
        for one in endpoints().take(1000) {
            let first = (0..=100).find(|percent| in_share(one, *percent)).unwrap();
            assert!((first..=100).all(|percent| in_share(one, percent)));
        }
    }
}
