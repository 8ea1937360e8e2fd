"""What Ray has and lacks, its errors in our words, every private call of it."""
