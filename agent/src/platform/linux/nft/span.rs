//! Runs of addresses: networks added up, and others taken out of them again. Pure.

use std::net::IpAddr;

/// Addresses of one family in ascending runs that neither overlap nor touch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spans {
    ipv4: bool,
    runs: Vec<(u128, u128)>,
}

/// Addresses of both families. A mapped address is the IPv4 address that it stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Addresses {
    pub v4: Spans,
    pub v6: Spans,
}

impl Default for Addresses {
    fn default() -> Self {
        Self { v4: Spans::ipv4(), v6: Spans::ipv6() }
    }
}

impl Addresses {
    /// Everybody's.
    pub fn all() -> Self {
        let mut all = Self::default();
        for spans in [&mut all.v4, &mut all.v6] {
            spans.runs.push((0, spans.top()));
        }
        all
    }

    pub fn add(&mut self, address: IpAddr, bits: u8) {
        let (address, bits) = canonical(address, bits);
        self.family(address).add_network(address, bits);
    }

    pub fn remove(&mut self, address: IpAddr, bits: u8) {
        let (address, bits) = canonical(address, bits);
        let spans = self.family(address);
        let (first, last) = spans.ends(address, bits);
        spans.cut(first, last);
    }

    pub fn merge(&mut self, other: &Self) {
        for (own, other) in [(&mut self.v4, &other.v4), (&mut self.v6, &other.v6)] {
            other.runs.iter().for_each(|(first, last)| own.add(*first, *last));
        }
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        let (address, _) = canonical(address, 128);
        let spans = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        let number = number(address);
        spans.runs.iter().any(|(first, last)| (*first..=*last).contains(&number))
    }

    /// How many runs there are.
    pub fn runs(&self) -> usize {
        self.v4.runs.len() + self.v6.runs.len()
    }

    /// An address of each run, IPv4 first; not the first of many, which means a network.
    pub fn samples(&self) -> impl Iterator<Item = IpAddr> {
        let of = |spans: &Spans| {
            let second = |run: &(u128, u128)| run.1.min(run.0.saturating_add(1));
            spans.runs.iter().map(|run| spans.address(second(run))).collect()
        };
        let all: [Vec<IpAddr>; 2] = [of(&self.v4), of(&self.v6)];
        all.into_iter().flatten()
    }

    fn family(&mut self, address: IpAddr) -> &mut Spans {
        if address.is_ipv4() { &mut self.v4 } else { &mut self.v6 }
    }
}

impl Spans {
    pub fn ipv4() -> Self {
        Self { ipv4: true, runs: Vec::new() }
    }

    pub fn ipv6() -> Self {
        Self { ipv4: false, runs: Vec::new() }
    }

    pub fn is_ipv4(&self) -> bool {
        self.ipv4
    }

    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Whether it is every address of the family.
    pub fn is_all(&self) -> bool {
        self.runs == [(0, self.top())]
    }

    /// The family's last address, as a number.
    pub fn top(&self) -> u128 {
        if self.ipv4 { u128::from(u32::MAX) } else { u128::MAX }
    }

    /// The first and the last of each run.
    pub fn iter(&self) -> impl Iterator<Item = (u128, u128)> {
        self.runs.iter().copied()
    }

    /// An address as it stands in packets.
    pub fn bytes(&self, number: u128) -> Vec<u8> {
        let bytes = number.to_be_bytes();
        if self.ipv4 { bytes[12..].to_vec() } else { bytes.to_vec() }
    }

    /// Adds all addresses that begin with the first `bits` of this one.
    pub fn add_network(&mut self, address: IpAddr, bits: u8) {
        let (first, last) = self.ends(address, bits);
        self.add(first, last);
    }

    fn add(&mut self, first: u128, last: u128) {
        let (mut first, mut last) = (first, last);
        self.runs.retain(|run| {
            let touches = run.0 <= last.saturating_add(1) && first <= run.1.saturating_add(1);
            if touches {
                (first, last) = (first.min(run.0), last.max(run.1));
            }
            !touches
        });
        let at = self.runs.partition_point(|run| run.0 < first);
        self.runs.insert(at, (first, last));
    }

    fn cut(&mut self, first: u128, last: u128) {
        let runs = std::mem::take(&mut self.runs);
        for run in runs {
            if run.1 < first || last < run.0 {
                self.runs.push(run);
                continue;
            }
            if run.0 < first {
                self.runs.push((run.0, first - 1));
            }
            if last < run.1 {
                self.runs.push((last + 1, run.1));
            }
        }
    }

    fn ends(&self, address: IpAddr, bits: u8) -> (u128, u128) {
        let width = if self.ipv4 { 32 } else { 128 };
        let open = u32::from(width - bits.min(width));
        // All addresses are as many as no number says, so one less than that.
        let rest = 1_u128.checked_shl(open).map_or(u128::MAX, |count| count - 1);
        let first = number(address) & !rest;
        (first, first | rest)
    }

    fn address(&self, number: u128) -> IpAddr {
        if self.ipv4 {
            let [.., a, b, c, d] = number.to_be_bytes();
            return [a, b, c, d].into();
        }
        number.to_be_bytes().into()
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

fn canonical(address: IpAddr, bits: u8) -> (IpAddr, u8) {
    let plain = address.to_canonical();
    match (address.is_ipv4(), plain.is_ipv4()) {
        (false, true) if bits >= 96 => (plain, bits - 96),
        // Wider than the mapped addresses: no packet carries those.
        (false, true) => (address, bits),
        _ => (plain, bits),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn network(text: &str) -> (IpAddr, u8) {
        let (address, bits) = text.split_once('/').unwrap();
        (address.parse().unwrap(), bits.parse().unwrap())
    }

    #[track_caller]
    fn check(added: &[&str], removed: &[&str], expected: &str) {
        let mut all = Addresses::default();
        added.iter().map(|text| network(text)).for_each(|(ip, bits)| all.add(ip, bits));
        removed.iter().map(|text| network(text)).for_each(|(ip, bits)| all.remove(ip, bits));
        let run = |spans: &Spans, (first, last)| {
            format!("{}-{}", spans.address(first), spans.address(last))
        };
        let runs = [&all.v4, &all.v6]
            .map(|spans| spans.iter().map(|ends| run(spans, ends)).collect::<Vec<_>>());
        assert_eq!(runs.concat().join(" "), expected);
    }

    #[test]
    fn networks_that_overlap_or_touch_are_one_run() {
        check(&["192.0.2.0/25", "192.0.2.128/25"], &[], "192.0.2.0-192.0.2.255");
        check(&["192.0.2.9/24", "192.0.2.7/32"], &[], "192.0.2.0-192.0.2.255");
        check(&["192.0.2.1/32", "192.0.2.3/32"], &[], "192.0.2.1-192.0.2.1 192.0.2.3-192.0.2.3");
        check(
            &["0.0.0.0/0", "::/0"],
            &[],
            &format!("0.0.0.0-255.255.255.255 ::-{}", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        );
        check(
            &["255.255.255.255/32", "2001:db8::/127"],
            &[],
            "255.255.255.255-255.255.255.255 2001:db8::-2001:db8::1",
        );
    }

    #[test]
    fn what_is_taken_out_leaves_its_neighbours() {
        check(&["192.0.2.0/30"], &["192.0.2.1/32"], "192.0.2.0-192.0.2.0 192.0.2.2-192.0.2.3");
        check(&["192.0.2.0/30"], &["192.0.0.0/16"], "");
        check(&["192.0.2.0/30"], &["192.0.2.0/32", "192.0.2.3/32"], "192.0.2.1-192.0.2.2");
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address_it_stands_for() {
        check(&["::ffff:192.0.2.1/128"], &[], "192.0.2.1-192.0.2.1");
        check(&["::ffff:192.0.2.0/120"], &["::ffff:192.0.2.128/121"], "192.0.2.0-192.0.2.127");
    }

    proptest! {
        #[test]
        fn an_address_is_in_it_if_it_was_added_and_not_taken_out_since(
            steps in proptest::collection::vec((any::<bool>(), any::<u8>(), 24_u8..=32), 0..24),
            probe in any::<u8>(),
        ) {
            let mut all = Addresses::default();
            let mut expected = false;
            for (add, low, bits) in steps {
                let address = IpAddr::from([192, 0, 2, low]);
                if add { all.add(address, bits) } else { all.remove(address, bits) }
                let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
                if (u32::from(low) & mask) == (u32::from(probe) & mask) {
                    expected = add;
                }
            }
            prop_assert_eq!(all.contains([192, 0, 2, probe].into()), expected);
            let runs: Vec<_> = all.v4.iter().collect();
            prop_assert!(runs.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "{runs:?}");
        }
    }
}
