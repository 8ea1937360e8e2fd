"""What a scoring run leaves: file names, schemas, frozen inputs, records, proof."""
