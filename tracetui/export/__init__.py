"""What is recorded in other forms: tables, other tensor files, pictures, a report in one file."""
