//! Finds the name that was probably meant.

/// The name closest to `wanted`, when no more than a third of it has to change.
pub(crate) fn most_similar<'a>(wanted: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let bound = (wanted.chars().count() + 1) / 3;
    let wanted = wanted.to_lowercase();
    let near = names.map(|name| (distance(&wanted, &name.to_lowercase()), name)).filter(|(far, _)| *far <= bound);
    near.min().map(|(_, name)| name)
}

/// Number of characters to add, drop or change to get from one to the other.
pub(crate) fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = at + 1;
        for (column, b) in to.iter().enumerate() {
            let changed = diagonal + usize::from(a != *b);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let names = ["time_bucket", "usage_user", "usage_system", "avg"];
        let meant = |wanted| most_similar(wanted, names.into_iter());
        assert_eq!(meant("usage_usr"), Some("usage_user"));
        assert_eq!(meant("Usage_User"), Some("usage_user"));
        assert_eq!(meant("timebucket"), Some("time_bucket"));
        assert_eq!(meant("agv"), None);
        assert_eq!(meant("av"), Some("avg"));
        assert_eq!(meant("hostname"), None);
    }
}
