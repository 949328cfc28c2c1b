"""Refreshes that another tool, such as Airbyte or Fivetran, carries out: ``python -m worker.refresher.external``."""
