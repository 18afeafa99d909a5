using 'main.bicep'

param image = 'myregistry.azurecr.io/cosmirror:0.1.0'
param registryName = 'myregistry'
param cosmosAccountName = 'my-account'
param cosmosResourceGroup = 'shop'
param leaseDatabase = 'shop'
param containers = [
  {
    database: 'shop'
    container: 'orders'
    feed: 'all-versions-and-deletes'
  }
]
