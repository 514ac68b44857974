//! Foreign bytes as a segment, and as an encoded vector.

use plimsoll_engine::fuzzing;

/// Bytes as a segment file: refused or read, and whatever verifies is read.
pub fn segment(bytes: &[u8]) {
    fuzzing::open_segment_bytes(bytes.to_vec());
}

/// A number of values (2 bytes), then bytes as an encoded vector of each type.
pub fn vector(bytes: &[u8]) {
    let Some((count, encoded)) = bytes.split_first_chunk() else { return };
    fuzzing::decode_vector_bytes(encoded, usize::from(u16::from_le_bytes(*count)));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every seed, cut short at every place and with every byte changed.
    #[test]
    fn seeds_and_their_neighbours_are_survived() {
        for (name, body) in [("segment", segment as fn(&[u8])), ("vector", vector)] {
            let corpus = format!("{}/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
            let mut seeds = 0;
            for seed in std::fs::read_dir(corpus).unwrap() {
                let mut bytes = std::fs::read(seed.unwrap().path()).unwrap();
                seeds += 1;
                for at in 0..bytes.len() {
                    body(&bytes[..at]);
                    bytes[at] ^= 0x41;
                    body(&bytes);
                    bytes[at] ^= 0x41;
                }
                body(&bytes);
            }
            assert!(seeds > 0, "the corpus of {name} has seeds");
        }
    }
}
