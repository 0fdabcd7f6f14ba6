"""The case log: what was asked, what was answered, what a clinician said later; hash-chained."""
