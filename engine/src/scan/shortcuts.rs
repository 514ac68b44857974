//! Which shortcuts a snapshot may take. Each gives the very rows that the long way gives, so each can be switched off to compare.

/// Ways to answer with less work. All are on by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shortcuts {
    /// Chunks and vectors are left out by time, series and statistics.
    pub pruning: bool,
    /// Predicates, order and limits of a scan are applied while reading, and aggregates inside the engine.
    pub pushdown: bool,
    /// Aggregates run on encoded vectors, unmerged where sources share no point; off, they run on the rows of a scan.
    pub kernels: bool,
    /// Aggregates of whole vectors and chunks come from their statistics.
    pub statistics: bool,
    /// The latest rows come from what is kept per series.
    pub last_points: bool,
    /// Coarser tiers answer where they are exact.
    pub rollups: bool,
    /// Statements of the common shape go past the optimizer.
    pub direct_plan: bool,
}

impl Shortcuts {
    /// Every shortcut.
    pub const ALL: Shortcuts = Shortcuts {
        pruning: true,
        pushdown: true,
        kernels: true,
        statistics: true,
        last_points: true,
        rollups: true,
        direct_plan: true,
    };

    /// The long way.
    pub const NONE: Shortcuts = Shortcuts {
        pruning: false,
        pushdown: false,
        kernels: false,
        statistics: false,
        last_points: false,
        rollups: false,
        direct_plan: false,
    };
}

impl Default for Shortcuts {
    fn default() -> Shortcuts {
        Shortcuts::ALL
    }
}
