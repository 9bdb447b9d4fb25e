"""Tools of the repository that no user installs."""
