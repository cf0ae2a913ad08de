//! Which partition a key belongs to, computed like the Java client and librdkafka's `murmur2_random` do.
//!
//! librdkafka decides; this copy exists because the publisher must know the partition *before* it enqueues a message.

/// The partition of `key` among `partitions`, which must not be 0.
pub(crate) fn partition(key: &[u8], partitions: usize) -> usize {
    (murmur2(key) & 0x7fff_ffff) as usize % partitions
}

/// The 32-bit murmur2 of Kafka's Java client: seed 0x9747b28c, little-endian words.
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    for (n, byte) in rest.iter().enumerate() {
        hash ^= u32::from(*byte) << (8 * n);
    }
    if !rest.is_empty() {
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with the Java client, see the head of the file.
    #[test]
    fn keys_hash_and_fall_like_in_the_java_client() {
        let vectors = include_str!("../tests/murmur2.tsv");
        let mut count = 0;
        for line in vectors.lines().filter(|line| !line.starts_with('#')) {
            let fields: Vec<&str> = line.split('\t').collect();
            let (key, hash) = (fields[0].as_bytes(), fields[1].parse::<i32>().unwrap());
            assert_eq!(murmur2(key) as i32, hash, "{}", fields[0]);
            assert_eq!(partition(key, 12), fields[2].parse::<usize>().unwrap());
            assert_eq!(partition(key, 7), fields[3].parse::<usize>().unwrap());
            count += 1;
        }
        assert!(count > 20);
    }
}
