//! Computes SHA-256 over whole blocks, for two messages at once.
//!
//! Each round of SHA-256 waits for the one before, so one message leaves the instructions for it idle part of the time.
//! A second message runs in these gaps: a conversion hashes the bytes that it reads and those that it writes in 1.07
//! times the time of one on Zen 4, and in 1.5 times on Sapphire Rapids, which has one unit for the rounds, and which that
//! keeps busy ([`pair_cost`] measures it).
//!
//! Source: FIPS 180-4, section 6.2; the instructions are those of Intel's SHA extensions, which keep the state as the
//! words ABEF and CDGH. Invariant: the states equal those of [`sha2::block_api::compress256`], which does the work if
//! the instructions are missing. This module does not pad and does not count.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use multiversion::multiversion;
use multiversion::target::match_target;
use sha2::block_api::compress256;

/// The eight working words.
pub(super) type State = [u32; 8];

/// The bytes of one step.
pub(super) type Block = [u8; 64];

/// How many blocks are hashed to measure the cost of a pair: 32 KiB, which are in the cache of a processor.
const SAMPLE: usize = 512;
const ROUNDS: usize = 8;

/// Adds blocks to one message.
pub(super) fn compress(state: &mut State, blocks: &[Block]) {
    compress256(state, blocks);
}

/// Adds blocks to each of two messages, which may have different lengths.
pub(super) fn compress_both(states: [&mut State; 2], blocks: [&[Block]; 2]) {
    let [first, second] = blocks;
    let both = first.len().min(second.len());
    let ((first, first_rest), (second, second_rest)) = (first.split_at(both), second.split_at(both));
    let [one, other] = states;
    if !interleaved([&mut *one, &mut *other], [first, second]) {
        compress256(one, first);
        compress256(other, second);
    }
    compress256(one, first_rest);
    compress256(other, second_rest);
}

/// Returns the time of two messages at once, in times of one; 2 if the processor lacks the instructions. Measured once
/// per process, in less than a millisecond.
pub(super) fn pair_cost() -> f64 {
    static COST: OnceLock<f64> = OnceLock::new();
    *COST.get_or_init(|| {
        if !interleaved([&mut [0; 8], &mut [0; 8]], [&[], &[]]) {
            return 2.0;
        }
        let blocks = vec![[0; 64]; SAMPLE];
        let (mut states, mut least) = ([[0; 8]; 2], [Duration::MAX; 2]);
        // Alternately, so that a slow moment affects both; the fastest runs are those that nothing interrupted.
        for _ in 0..ROUNDS {
            let [one, other] = &mut states;
            let start = Instant::now();
            compress(one, &blocks);
            let single = start.elapsed();
            let start = Instant::now();
            compress_both([one, other], [&blocks, &blocks]);
            least = [least[0].min(single), least[1].min(start.elapsed())];
        }
        let [single, pair] = least.map(|time| time.as_secs_f64().max(f64::MIN_POSITIVE));
        pair / single
    })
}

/// Adds the same number of blocks to each of two messages, alternately. Returns `false` without an effect if the
/// processor lacks the instructions.
#[multiversion(targets("x86_64+sha+avx+sse4.1+ssse3+sse2"))]
fn interleaved(states: [&mut State; 2], blocks: [&[Block]; 2]) -> bool {
    match_target! {
        "x86_64+sha+avx+sse4.1+ssse3+sse2" => {
            use std::arch::x86_64::{
                _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_set_epi32, _mm_set_epi64x,
                _mm_setzero_si128, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32,
                _mm_shuffle_epi8, _mm_shuffle_epi32,
            };

            /// Returns four words of a block, which are big-endian.
            macro_rules! words {
                ($block:ident, $low:literal, $high:literal) => {{
                    let [low, high] = [words!($block, $low), words!($block, $high)];
                    _mm_shuffle_epi8(_mm_set_epi64x(high, low), _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203))
                }};
                ($block:ident, $at:literal) => {
                    match $block[$at..].first_chunk() {
                        Some(half) => i64::from_le_bytes(*half),
                        None => 0,
                    }
                };
            }

            let words_of = |state: &State| state.map(u32::cast_signed);
            let [one, other] = states;
            let mut abef = [_mm_setzero_si128(); 2];
            let mut cdgh = abef;
            for (n, state) in [&*one, &*other].into_iter().enumerate() {
                let [a, b, c, d, e, f, g, h] = words_of(state);
                abef[n] = _mm_set_epi32(a, b, e, f);
                cdgh[n] = _mm_set_epi32(c, d, g, h);
            }
            let [mut abef_one, mut abef_other] = abef;
            let [mut cdgh_one, mut cdgh_other] = cdgh;
            for (first, second) in blocks[0].iter().zip(blocks[1]) {
                let before = (abef_one, cdgh_one, abef_other, cdgh_other);
                let mut p0 = words!(first, 0, 8);
                let mut p1 = words!(first, 16, 24);
                let mut p2 = words!(first, 32, 40);
                let mut p3 = words!(first, 48, 56);
                let mut q0 = words!(second, 0, 8);
                let mut q1 = words!(second, 16, 24);
                let mut q2 = words!(second, 32, 40);
                let mut q3 = words!(second, 48, 56);
                // Four rounds of both, and the words of the step after the next three. Written out, so that all words are in
                // registers at every level of optimization.
                macro_rules! rounds {
                    ($i:literal, $p:ident, $q:ident) => {
                        let [k0, k1, k2, k3] = CONSTANTS[$i];
                        let k = _mm_set_epi32(k3, k2, k1, k0);
                        let (p, q) = (_mm_add_epi32($p, k), _mm_add_epi32($q, k));
                        cdgh_one = _mm_sha256rnds2_epu32(cdgh_one, abef_one, p);
                        cdgh_other = _mm_sha256rnds2_epu32(cdgh_other, abef_other, q);
                        abef_one = _mm_sha256rnds2_epu32(abef_one, cdgh_one, _mm_shuffle_epi32::<0x0e>(p));
                        abef_other = _mm_sha256rnds2_epu32(abef_other, cdgh_other, _mm_shuffle_epi32::<0x0e>(q));
                    };
                }
                macro_rules! schedule {
                    ($w0:ident, $w1:ident, $w2:ident, $w3:ident) => {
                        let sum = _mm_add_epi32(_mm_sha256msg1_epu32($w0, $w1), _mm_alignr_epi8::<4>($w3, $w2));
                        $w0 = _mm_sha256msg2_epu32(sum, $w3);
                    };
                }
                macro_rules! steps {
                    ($($a:literal $b:literal $c:literal $d:literal),*) => { $(
                        rounds!($a, p0, q0);
                        schedule!(p0, p1, p2, p3);
                        schedule!(q0, q1, q2, q3);
                        rounds!($b, p1, q1);
                        schedule!(p1, p2, p3, p0);
                        schedule!(q1, q2, q3, q0);
                        rounds!($c, p2, q2);
                        schedule!(p2, p3, p0, p1);
                        schedule!(q2, q3, q0, q1);
                        rounds!($d, p3, q3);
                        schedule!(p3, p0, p1, p2);
                        schedule!(q3, q0, q1, q2);
                    )* };
                }
                steps!(0 1 2 3, 4 5 6 7, 8 9 10 11);
                rounds!(12, p0, q0);
                rounds!(13, p1, q1);
                rounds!(14, p2, q2);
                rounds!(15, p3, q3);
                abef_one = _mm_add_epi32(abef_one, before.0);
                cdgh_one = _mm_add_epi32(cdgh_one, before.1);
                abef_other = _mm_add_epi32(abef_other, before.2);
                cdgh_other = _mm_add_epi32(cdgh_other, before.3);
            }
            let (abef, cdgh) = ([abef_one, abef_other], [cdgh_one, cdgh_other]);
            for (n, state) in [one, other].into_iter().enumerate() {
                let (abef, cdgh) = (abef[n], cdgh[n]);
                *state = [
                    _mm_extract_epi32::<3>(abef),
                    _mm_extract_epi32::<2>(abef),
                    _mm_extract_epi32::<3>(cdgh),
                    _mm_extract_epi32::<2>(cdgh),
                    _mm_extract_epi32::<1>(abef),
                    _mm_extract_epi32::<0>(abef),
                    _mm_extract_epi32::<1>(cdgh),
                    _mm_extract_epi32::<0>(cdgh),
                ]
                .map(i32::cast_unsigned);
            }
            true
        },
        _ => {
            let _ = (states, blocks);
            false
        }
    }
}

/// The round constants: the first 32 bits of the fractional parts of the cube roots of the first 64 primes.
#[cfg(target_arch = "x86_64")]
#[rustfmt::skip]
const CONSTANTS: [[i32; 4]; 16] = {
    let flat: [u32; 64] = [
        0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
        0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
        0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
        0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
        0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
        0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
        0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
        0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
    ];
    let mut constants = [[0; 4]; 16];
    let mut i = 0;
    while i < 64 {
        constants[i / 4][i % 4] = flat[i].cast_signed();
        i += 1;
    }
    constants
};

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns pseudorandom blocks.
    fn blocks(count: usize, seed: u32) -> Vec<Block> {
        let mut x = seed;
        let mut next = || {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            x.to_be_bytes()[0]
        };
        (0..count).map(|_| std::array::from_fn(|_| next())).collect()
    }

    #[test]
    fn two_messages_together_are_as_one_after_the_other() {
        for (first, second) in [(0, 0), (1, 1), (7, 7), (9, 2), (0, 5), (3, 64)] {
            let (first, second) = (blocks(first, 1), blocks(second, 2));
            let start: [State; 2] = [[0x6a09_e667; 8], [0x1234_5678, 1, 2, 3, 4, 5, 6, u32::MAX]];
            let mut expected = start;
            compress256(&mut expected[0], &first);
            compress256(&mut expected[1], &second);
            let [mut one, mut other] = start;
            compress_both([&mut one, &mut other], [&first, &second]);
            assert_eq!([one, other], expected);
        }
    }
}
