"""alertmend: from an alert to one proven, recorded Ansible run."""

__version__ = "0.1.0"
