"""Salesforce, as far as the connector and simple-salesforce need it: an org, its REST API, and a part of SOQL."""
