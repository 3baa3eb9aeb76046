"""Winners after the search: trained, evaluated, generating."""
