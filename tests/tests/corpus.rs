//! Replays the seeds in `fuzz/corpus/TARGET/` through the fuzz bodies: any bytes in, no panic out.

use std::fs;
use std::path::Path;

#[test]
fn every_seed_is_survived() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (name, body) in plimsoll_fuzz::targets() {
        body(&[]);
        let seeds = fs::read_dir(corpus.join(name)).unwrap_or_else(|e| panic!("target {name} has no seeds: {e}"));
        let mut replayed = 0;
        for seed in seeds {
            let path = seed.expect("the directory can be read").path();
            let bytes = fs::read(&path).expect("the seed can be read");
            let survived = std::panic::catch_unwind(|| body(&bytes));
            assert!(survived.is_ok(), "{name} panicked on {}", path.display());
            replayed += 1;
        }
        assert!(replayed > 0, "target {name} has no seeds");
    }
}
