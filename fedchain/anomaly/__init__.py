"""The statistics by which the contracts judge, and what a party looks at in what its peers send."""
