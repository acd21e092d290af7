//! Text for people.

/// A number with its noun, in the singular for 1: `1 song`, `2 songs`. The plural is `noun` with an `s`.
pub fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn only_one_is_in_the_singular() {
        assert_eq!([0, 1, 2].map(|n| counted(n, "song")), ["0 songs", "1 song", "2 songs"]);
    }
}
