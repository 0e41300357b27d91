//! The hash of a connection, alike in the kernel and in user space.

use crate::FlowKey;

/// A hash of four-tuples that an attacker who does not know its key cannot make collide.
///
/// Multilinear hashing (Carter, Wegman: Universal classes of hash functions, 1979; Lemire, Kaser: Strongly
/// universal string hashing is fast, 2014): each half of each word of the four-tuple is multiplied with a
/// word of the key, and the products are added. However two four-tuples are chosen, of all keys at most
/// one in 2^33 gives both the same sum. Of a chain of multiplications with a seed that is not so: bits of
/// one word that a multiplication moves to a known place can be cancelled by those of the next. The
/// products also do not wait for each other.
///
/// A step that loses nothing spreads the sum over all bits: the high half chooses the shard, and the low
/// bits the bucket in the table of flows.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowHash([u64; FlowHash::WORDS]);

impl FlowHash {
    /// Words of the key.
    pub const WORDS: usize = 9;

    /// The hash with this key.
    #[inline(always)]
    #[must_use]
    pub const fn with_key(key: [u64; Self::WORDS]) -> Self {
        Self(key)
    }

    /// The hash with a key that follows from a random number, by SplitMix64 (Steele, Lea, Flood: Fast
    /// splittable pseudorandom number generators, 2014).
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        let mut state = seed;
        Self([(); Self::WORDS].map(|()| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        }))
    }

    /// The key, as the programs have it.
    #[must_use]
    pub const fn key(&self) -> &[u64; Self::WORDS] {
        &self.0
    }

    /// The hash of a connection.
    #[inline(always)]
    #[must_use]
    pub const fn of(&self, flow: &FlowKey) -> u64 {
        let ([a, b, c, d, ports], key) = (flow.words(), &self.0);
        let sum = products(a, key[0], key[1])
            .wrapping_add(products(b, key[2], key[3]))
            .wrapping_add(products(c, key[4], key[5]))
            .wrapping_add(products(d, key[6], key[7]))
            .wrapping_add(ports.wrapping_mul(key[8]));
        let spread = (sum ^ (sum >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        spread ^ (spread >> 32)
    }

    /// The shard, of `shards`, that owns this connection. Kernel and user space agree on it.
    #[inline(always)]
    #[must_use]
    pub const fn shard(&self, flow: &FlowKey, shards: u32) -> u32 {
        shard(self.of(flow), shards)
    }
}

/// The shard, of `shards`, that owns a connection with this hash.
#[inline(always)]
#[must_use]
pub const fn shard(hash: u64, shards: u32) -> u32 {
    // Without a division: the kernel has none to spare.
    (((hash >> 32) * shards as u64) >> 32) as u32
}

/// The sum of the products of both halves of a word, the higher one's with both words of the key: as
/// independent of the lower one's as if it were with one of them alone.
#[inline(always)]
const fn products(word: u64, one: u64, other: u64) -> u64 {
    let high = word >> 32;
    word.wrapping_mul(one)
        .wrapping_add(high.wrapping_mul(other))
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::HashMap;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;
    use crate::Endpoint;
    use crate::flow_entry::{PLACES, bucket};

    const BUCKETS: u32 = 1 << 14;

    fn v4(client: u32, port: u16) -> FlowKey {
        let client = Endpoint::v4(client.to_be_bytes(), port);
        FlowKey::new(client, Endpoint::v4([192, 0, 2, 1], 443))
    }

    fn v6(client: [u64; 2], port: u16, server: u64) -> FlowKey {
        let server = Endpoint::v6([0x2001_0db8 << 32, server], 443);
        FlowKey::new(Endpoint::v6(client, port), server)
    }

    /// Ten thousand connections each, as traffic has them or an attacker would choose them.
    fn structured() -> Vec<(&'static str, Vec<FlowKey>)> {
        let all = |key: &dyn Fn(u64) -> FlowKey| (0..10_000).map(key).collect();
        let bits = |n: u64, from: u32| n << from | n.rotate_right(from);
        std::vec![
            ("ports", all(&|n| v4(0x0a00_0001, n as u16))),
            ("addresses", all(&|n| v4(0x0a00_0000 + n as u32, 40_000))),
            (
                "high bits of addresses",
                all(&|n| v4((n as u32) << 18, 40_000))
            ),
            (
                "both",
                all(&|n| v4(0x0a00_0000 + (n / 100) as u32, n as u16 % 100))
            ),
            (
                "equal changes",
                all(&|n| v4(0x0a00_0000 + n as u32, n as u16))
            ),
            (
                "low half of IPv6",
                all(&|n| v6([0x2001_0db8 << 32, n], 40_000, 1))
            ),
            (
                "top bits of IPv6",
                all(&|n| v6([0x2001_0db8 << 32, n << 50], 40_000, 1))
            ),
            (
                "top bits of two words",
                all(&|n| v6([n << 50, n << 50], 40_000, 1)),
            ),
            (
                "bits 63 and 31",
                all(&|n| v6([0x2001_0db8 << 32, bits(n, 50)], 40_000, bits(n, 18))),
            ),
            (
                "the same in both ends",
                all(&|n| v6([0x2001_0db8 << 32, n << 32], 40_000, n << 32 | 1)),
            ),
            (
                "opposite in both ends",
                all(&|n| v6([0x2001_0db8 << 32, n], 40_000, u64::MAX - n)),
            ),
        ]
    }

    #[test]
    fn structured_four_tuples_spread_over_buckets_and_shards() {
        for seed in [0, 1, 7, u64::MAX, 0x1234_5678_9abc_def0] {
            let hash = FlowHash::seeded(seed);
            for (name, keys) in structured() {
                let mut buckets: HashMap<u32, usize> = HashMap::new();
                let mut shards = [0u32; 5];
                for key in &keys {
                    let of = hash.of(key);
                    *buckets.entry(bucket(of, 0, BUCKETS)).or_default() += 1;
                    shards[shard(of, 5) as usize] += 1;
                }
                let over: usize = buckets.values().map(|n| n.saturating_sub(PLACES)).sum();
                // Of ten thousand by chance: 6.
                assert!(over < 60, "{name}, {seed}: {over} have no place");
                let even = shards.iter().all(|n| (1600..2400).contains(n));
                assert!(even, "{name}, {seed}: {shards:?}");
            }
        }
    }

    /// Differences that cancel under every key would be found by trying a few.
    #[test]
    fn no_difference_of_two_bits_cancels() {
        let base = [1u64 << 40 | 3, 5, 1 << 41, 9, 77];
        let key = |words: [u64; 5]| {
            let mut bytes = [0; FlowKey::SIZE];
            for (place, word) in bytes.chunks_mut(8).zip(words) {
                place.copy_from_slice(&word.to_ne_bytes()[..place.len()]);
            }
            FlowKey::from_bytes(&bytes)
        };
        let bits: Vec<_> = (0..4 * 64 + 32).collect();
        for seed in 0..3 {
            let hash = FlowHash::seeded(seed);
            let flipped = |bits: &[usize]| {
                let mut words = base;
                bits.iter()
                    .for_each(|bit| words[bit / 64] ^= 1 << (bit % 64));
                hash.of(&key(words))
            };
            let mut seen: Vec<_> = bits.iter().map(|&bit| flipped(&[bit])).collect();
            for (at, &one) in bits.iter().enumerate() {
                seen.extend(bits[..at].iter().map(|&other| flipped(&[one, other])));
            }
            let all = seen.len();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), all, "{seed}");
        }
    }

    proptest! {
        #[test]
        fn every_shard_is_one_of_them(words in any::<([u64; 2], u16)>(), seed: u64, n in 1u32..64) {
            let key = v6(words.0, words.1, 7);
            prop_assert!(FlowHash::seeded(seed).shard(&key, n) < n);
        }
    }

    #[test]
    fn a_shard_is_that_of_the_hash() {
        let hash = FlowHash::seeded(1);
        let mut met = [false; 5];
        for port in 0..100 {
            let key = v4(1, port);
            let of = hash.shard(&key, 5);
            assert_eq!(of, shard(hash.of(&key), 5));
            met[of as usize] = true;
        }
        assert_eq!(met, [true; 5]);
    }

    /// The numbers that SplitMix64 gives for a seed, as other programs print them.
    #[test]
    fn the_key_is_what_splitmix64_gives() {
        let key = FlowHash::seeded(1_234_567);
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(key.key()[..5], expected);
    }

    /// Worked out by hand, with a key that leaves one word as it is.
    #[test]
    fn a_hash_is_the_spread_sum() {
        let mut key = [0; FlowHash::WORDS];
        key[2] = 1;
        let flow = FlowKey::new(
            Endpoint::v6([0, 1 << 40 | 1 << 8 | 3], 0),
            Endpoint::v6([u64::MAX; 2], 0),
        );
        let sum: u64 = 1 << 40 | 1 << 8 | 3;
        // Its upper half is the bit that this takes away.
        let folded: u64 = 1 << 40 | 3;
        assert_eq!(sum ^ sum >> 32, folded);
        let spread = folded.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let [high, low] = [spread >> 32, spread & 0xffff_ffff];
        assert_eq!(FlowHash::with_key(key).of(&flow), high << 32 | (high ^ low));
    }

    #[test]
    fn another_seed_is_another_hash() {
        let key = v4(1, 2);
        let hashes = [1, 2, 3].map(|seed| FlowHash::seeded(seed).of(&key));
        assert!(hashes[0] != hashes[1] && hashes[1] != hashes[2]);
    }
}
