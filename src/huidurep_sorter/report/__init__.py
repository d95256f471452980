"""What a person looks at after sorting."""
